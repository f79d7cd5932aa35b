// Keeps the places that are open at an hour of the day, which the query gives: `args: { hour: $hour }`.
// Its hours are numbers, as in rows.json: a column of type time comes as a text, "09:00:00"; any may be null.

export function keep(place, args) {
  if (place.opens === null || place.closes === null) return false;
  return place.opens <= args.hour && args.hour < place.closes;
}
