// What a row has, for errors that a field it lacks leads to: a name misspelt, or left out of the query's `input`.

import { Told } from "./told.js";

const { isArray } = Array;
const { keys } = Object;

/** Names that are told. */
const MOST = 20;

/** ` (the row has id, name)`, if `error` is one that a field the row lacks may be the reason of. */
export function fieldsOf(error, row) {
  try {
    if (!isOfAbsence(error)) return "";
    const [one, whose] = isArray(row) ? [row[0], "the first row"] : [row, "the row"];
    if (typeof one !== "object" || one === null || isArray(one)) return "";
    const names = keys(one);
    const more = names.length > MOST ? ", ..." : "";
    return names.length === 0 ? ` (${whose} has no fields)` : ` (${whose} has ${names.slice(0, MOST).join(", ")}${more})`;
  } catch {
    // What was thrown threw in turn.
    return "";
  }
}

function isOfAbsence(error) {
  if (error instanceof Told) return /answered .*(undefined|NaN)/.test(error.text);
  return error instanceof TypeError && /undefined|not a function/.test(error.message);
}
