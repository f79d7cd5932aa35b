// Keeps the places that are open at an hour of the day, which the query gives: `args: { hour: $hour }`.
// `sangre types` prints what a node is given by your own queries.

interface Place {
  opens: number;
  closes: number;
}

export function keep(place: Place, args: { hour: number }): boolean {
  return place.opens <= args.hour && args.hour < place.closes;
}
