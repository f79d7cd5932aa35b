// How many hours a day a place is open.
// `sangre types` prints what a node is given by your own queries.

interface Place {
  opens: number;
  closes: number;
}

export function transform(place: Place, args: {}): number {
  return Math.max(0, place.closes - place.opens);
}
