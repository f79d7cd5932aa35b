// One object for a whole list of places.
// `sangre types` prints what a node is given by your own queries.

interface Place {
  rating: number | null;
}

interface Summary {
  count: number;
  best: number;
}

export function reduce(places: Place[], args: {}): Summary {
  return { count: places.length, best: Math.max(0, ...places.map((place) => place.rating ?? 0)) };
}
