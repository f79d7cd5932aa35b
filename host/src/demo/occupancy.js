// How busy a place is, from 0 (empty) to 4 (full): `map: { node: occupancy, into: occupancy, input: [id] }`.
// A real one would ask sensors; this one makes a number up, the same one each time.

export function transform(place, args) {
  return (place.id * 7) % 5;
}
