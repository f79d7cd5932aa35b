// What a place looks like at an hour: five fields in, five out.

export function transform({ id, name, rating, opens, closes }, { hour }) {
  return { id, name, stars: rating * 2, open: opens <= hour && hour < closes, hours: closes - opens };
}
