// An imported file is a part of the node: saving it reloads every node that uses it.

/** From 0 to 24. */
export type Hour = number;

export function twelveHours(hour: Hour): string {
  const half = hour % 24 < 12 ? "am" : "pm";
  return `${hour % 12 === 0 ? 12 : hour % 12} ${half}`;
}
