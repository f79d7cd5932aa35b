// When a place is open, for people: `map: { node: opening-hours, into: hours, input: [opens, closes] }`.
// Types are for you and your editor; the server erases them and checks nothing.

import { twelveHours, type Hour } from "./lib/hours.ts";

interface Place {
  opens: Hour | null;
  closes: Hour | null;
}

export function transform(place: Place): string {
  if (place.opens === null || place.closes === null) return "always open";
  return `${twelveHours(place.opens)} to ${twelveHours(place.closes)}`;
}
