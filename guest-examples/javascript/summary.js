// One object for a whole list of places, as the last step: `reduce: { node: summary }`.

export function reduce(places, args) {
  const ratings = places.map((place) => place.rating).filter((rating) => rating !== null && rating !== undefined);
  const sum = ratings.reduce((total, rating) => total + rating, 0);
  return {
    count: places.length,
    average: ratings.length === 0 ? null : Math.round((sum / ratings.length) * 10) / 10,
    best: Math.max(0, ...ratings),
  };
}
