// What of JavaScript is a JSON value. `JSON.stringify` turns what is not into null, {} or nothing at all; here it is an
// error.

import { Told } from "./told.js";

const tag = Object.prototype.toString;
const { isFinite } = Number;
const { isArray } = Array;
const { keys, getOwnPropertySymbols } = Object;

const DEPTH = 100;
const UNDEFINED = "undefined: missing return, or no such field?";
/** Characters of a place that are told. */
const SHOWN = 80;
const ADVICE = {
  Promise: ": a node cannot be async",
  Generator: ": write [...generator], or a function without *",
  AsyncGenerator: ": a node cannot be async",
  Error: ": throw it, or answer its message",
  Map: ": use Object.fromEntries(map)",
  Set: ": use [...set]",
};

/** Throws unless `value`, which the function called `title` answered, is JSON all the way down. */
export function check(value, title) {
  const fault = faultOf(value, 0);
  if (fault === undefined) return;
  if (fault.at === "") throw new Told(`${title} answered ${fault.what}`);
  const at = fault.at.length > SHOWN ? `${fault.at.slice(0, SHOWN)}…` : fault.at;
  throw new Told(`${title} answered an object in which ${at} is ${fault.what}`);
}

/** What `value` is, for somebody who expected true or false. */
export function noun(value) {
  if (value === undefined) return UNDEFINED;
  return `${named(value)}: it has to be true or false`;
}

function named(value) {
  if (value === null) return "null";
  if (typeof value === "string") return "a text";
  if (typeof value !== "object") return `a ${typeof value}`;
  const kind = kindOf(value);
  return kind === "Object" ? "an object" : withArticle(kind);
}

/** What is not JSON in `value`, and where; undefined if all is. */
function faultOf(value, depth) {
  switch (typeof value) {
    case "string":
    case "boolean":
      return undefined;
    case "number":
      return isFinite(value) ? undefined : fault(`${value}: JSON has no such number`);
    case "undefined":
      return fault(depth === 0 ? UNDEFINED : "undefined");
    case "object":
      break;
    case "bigint":
      return fault("a bigint: JSON has no such value: use Number(x) or String(x)");
    default:
      return fault(`a ${typeof value}: JSON has no such value`);
  }
  if (value === null) return undefined;
  if (depth > DEPTH) return fault(`nested deeper than ${DEPTH} levels, or contains itself`);
  if (isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const inner = faultOf(value[index], depth + 1);
      if (inner !== undefined) return within(`[${index}]`, inner);
    }
    return undefined;
  }
  if (typeof value.toJSON === "function") return faultOfConverted(value, depth);
  const kind = kindOf(value);
  if (kind !== "Object") return fault(`${withArticle(kind)}${ADVICE[kind] ?? ": JSON has no such value"}`);
  if (getOwnPropertySymbols(value).length > 0) return fault("an object with a symbol as key: JSON has no such key");
  for (const name of keys(value)) {
    const inner = faultOf(value[name], depth + 1);
    if (inner !== undefined) return within(`.${name}`, inner);
  }
  return undefined;
}

function faultOfConverted(value, depth) {
  if (value instanceof Date && !isFinite(value.getTime())) return fault("an invalid Date");
  const converted = value.toJSON();
  // JSON.stringify converts once only.
  if (typeof converted?.toJSON === "function") return fault("an object whose toJSON answers another such object");
  return faultOf(converted, depth + 1);
}

/** As the language calls it: Object, Array, Map. */
const kindOf = (value) => tag.call(value).slice(8, -1);

const withArticle = (kind) => `${/^[AEIO]/.test(kind) ? "an" : "a"} ${kind}`;

function fault(what) {
  return { at: "", what };
}

function within(step, inner) {
  return { at: step + inner.at, what: inner.what };
}
