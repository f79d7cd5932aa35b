// How many hours a day a place is open.
// Its hours are numbers, as in rows.json: a column of type time comes as a text, "09:00:00"; any may be null.

export function transform(place, args) {
  if (place.opens === null || place.closes === null) return null;
  return Math.max(0, place.closes - place.opens);
}
