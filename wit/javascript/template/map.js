// How many hours a day a place is open.

export function transform(place, args) {
  return Math.max(0, place.closes - place.opens);
}
