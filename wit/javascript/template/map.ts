// How many hours a day a place is open.
// `sangre types` prints what a node is given by your own queries: a column of type time is a text, "09:00:00".

interface Place {
  opens: number | null;
  closes: number | null;
}

export function transform(place: Place, args: {}): number | null {
  if (place.opens === null || place.closes === null) return null;
  return Math.max(0, place.closes - place.opens);
}
