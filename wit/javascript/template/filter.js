// Keeps the places that are open at an hour of the day, which the query gives: `args: { hour: $hour }`.

export function keep(place, args) {
  return place.opens <= args.hour && args.hour < place.closes;
}
