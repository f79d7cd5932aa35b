// What row and args have, for errors that a name they lack leads to: one misspelt, or left out of the query.

import { Told } from "./told.js";

const { isArray } = Array;
const { keys } = Object;

/** Names that are told. */
const MOST = 20;

/** After the fields of a row. */
export const LEAD = ": the query's input: or select: says which";

/**
 * ` (the row has id, name; args have hour)`, if `error` is one that a field these lack may be the reason of. Which of them lacks it the
 * error does not tell; args are left out where `call`, the node's function, takes none.
 */
export function fieldsOf(error, call, row, args) {
  try {
    if (!isOfAbsence(error)) return "";
    const [one, whose] = isArray(row) ? [row[0], "the first row"] : [row, "the row"];
    const has = typeof one === "object" && one !== null && !isArray(one) ? [`${whose} has ${fieldNames(one)}${LEAD}`] : [];
    const isGiven = keys(args).length > 0 || (has.length > 0 && call.length > 1);
    const said = isGiven ? [...has, `args have ${fieldNames(args)}`] : has;
    return said.length === 0 ? "" : ` (${said.join("; ")})`;
  } catch {
    // What was thrown threw in turn.
    return "";
  }
}

/** `id, name`. */
export function fieldNames(one) {
  const names = keys(one);
  return names.length === 0 ? "no fields" : `${names.slice(0, MOST).join(", ")}${names.length > MOST ? ", ..." : ""}`;
}

function isOfAbsence(error) {
  if (error instanceof Told) return /answered .*(undefined|NaN)/.test(error.text);
  return error instanceof TypeError && /undefined|not a function/.test(error.message);
}
