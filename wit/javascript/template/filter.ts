// Keeps the places that are open at an hour of the day, which the query gives: `args: { hour: $hour }`.
// `sangre types` prints what a node is given by your own queries: a column of type time is a text, "09:00:00".

interface Place {
  opens: number | null;
  closes: number | null;
}

export function keep(place: Place, args: { hour: number }): boolean {
  if (place.opens === null || place.closes === null) return false;
  return place.opens <= args.hour && args.hour < place.closes;
}
