// What of JavaScript is a JSON value. `JSON.stringify` turns what is not into null, {} or nothing at all; here it is an
// error.

const tag = Object.prototype.toString;
const { isFinite } = Number;
const { isArray } = Array;
const { keys } = Object;

const DEPTH = 100;
const ADVICE = {
  Promise: ": a node cannot be async",
  Map: ": use Object.fromEntries(map)",
  Set: ": use [...set]",
};

/** Throws unless `value`, which the function `name` answered, is JSON all the way down. */
export function check(value, name) {
  const fault = faultOf(value, 0);
  if (fault === undefined) return;
  throw fault.at === "" ? `${name} answered ${fault.what}` : `${name} answered an object in which ${fault.at} is ${fault.what}`;
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
      return fault(depth === 0 ? "undefined: missing return?" : "undefined");
    case "object":
      break;
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
  const kind = tag.call(value);
  if (kind !== "[object Object]") return special(kind.slice(8, -1));
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

function special(kind) {
  return fault(`${/^[AEIOU]/.test(kind) ? "an" : "a"} ${kind}${ADVICE[kind] ?? ": JSON has no such value"}`);
}

function fault(what) {
  return { at: "", what };
}

function within(step, inner) {
  return { at: step + inner.at, what: inner.what };
}
