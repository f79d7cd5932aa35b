// One object for a whole list of places.

export function reduce(places, args) {
  return { count: places.length, best: Math.max(0, ...places.map((place) => place.rating)) };
}
