// What a function reads of its row and args that is not there, for a script that is tried: in JavaScript a misspelt field is
// undefined, and a filter that compares with it drops every row without a word.
//
// The top level alone is watched: values inside of jsonb may rightly lack what others have. A function that is watched answers what it
// would have answered; it takes longer, so of a list only the first elements are watched.

import log from "sangre:node/log@0.1.0";
import { placeOfStack } from "./errors.js";
import { LEAD, fieldNames } from "./fields.js";

const NativeError = Error;
const NativeProxy = Proxy;
const { get } = Reflect;
const { isArray } = Array;
const { getOwnPropertyDescriptor, keys } = Object;

/** Elements of a list that are watched. */
const ELEMENTS = 100;
/** Names that are told of one instance: beyond that they are no slip but come from data. */
const MOST = 20;
/** Characters of a name that are told. */
const SHOWN = 60;

/** What the language itself looks for in any object. */
const OF_THE_LANGUAGE = new Set(["toJSON", "then"]);

const ROW = { has: "the row has no field", they: "it has", lead: LEAD };
const ARGS = { has: "args have no", they: "they have", lead: "" };

const told = new Set();

/** The group, whose rows and args tell the log what `node` reads in vain. */
export function watched(node, { args, rows }) {
  return { args: watching(node, args, ARGS), rows: rows.map((row) => watchingRow(node, row)) };
}

function watchingRow(node, row) {
  if (node.kind !== "reduce" || !isArray(row)) return watching(node, row, ROW);
  // In place: what the function does to its list, it does to the one that was asked.
  for (let index = 0; index < row.length && index < ELEMENTS; index++) {
    // A number that JavaScript cannot hold is an error of whoever reads it.
    const { value } = getOwnPropertyDescriptor(row, index);
    if (value !== undefined) row[index] = watching(node, value, ROW);
  }
  return row;
}

function watching(node, target, whose) {
  if (typeof target !== "object" || target === null || isArray(target)) return target;
  return new NativeProxy(target, {
    get(target, name, receiver) {
      if (typeof name === "string" && !(name in target) && !OF_THE_LANGUAGE.has(name)) tell(node, target, name, whose);
      return get(target, name, receiver);
    },
  });
}

function tell(node, target, name, whose) {
  const key = `${whose.has} ${name}`;
  if (told.has(key) || told.size >= MOST) return;
  const place = placeOfStack(new NativeError().stack, node.framesOf);
  // Read by nobody but this runtime.
  if (place === undefined) return;
  told.add(key);
  const near = nearest(name, keys(target));
  const hint = near === undefined ? "" : `: did you mean ${near}?`;
  const lead = near === undefined ? whose.lead : "";
  log.write("warn", `${place}: ${whose.has} "${name.slice(0, SHOWN)}"${hint} (${whose.they} ${fieldNames(target)}${lead})`);
}

/** That of `names` which `name` is a slip of: one edit away, of longer names two. */
function nearest(name, names) {
  let [best, fewest] = [undefined, name.length > 4 ? 3 : 2];
  for (const other of names) {
    const edits = name.length > SHOWN || other.length > SHOWN || name.length < 3 ? fewest : distance(name, other);
    if (edits < fewest) [best, fewest] = [other, edits];
  }
  return best;
}

/** The edits from `a` to `b`: letters put in, left out, replaced, or two that change places (optimal string alignment). */
function distance(a, b) {
  let before = [];
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const line = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = above[column - 1] + (a[row - 1] === b[column - 1] ? 0 : 1);
      line[column] = Math.min(above[column] + 1, line[column - 1] + 1, replaced);
      if (a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) line[column] = Math.min(line[column], before[column - 2] + 1);
    }
    [before, above] = [above, line];
  }
  return above[b.length];
}
