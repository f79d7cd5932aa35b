// The ready JavaScript runtime: a component that is given a node's source, then answers batches.
//
// One instance holds one node. Everything here runs in the same engine as the node's code, so nothing a node does is
// trusted: whatever it returns is checked before it is written as JSON.

import "./globals.js";
import { describe } from "./errors.js";
import { evaluate as evaluateFiles } from "./modules.js";
import { Told } from "./told.js";
import { check, noun } from "./values.js";

const FUNCTIONS = { keep: "filter", transform: "map", reduce: "reduce" };
const NAMES = { filter: "keep", map: "transform", reduce: "reduce" };
const { freeze, values: valuesOf } = Object;
const { parse, stringify } = JSON;

let node; // { name, kind, call }

function load(files, expected) {
  const [{ name: fileName }] = files;
  try {
    node = choose(evaluateFiles(files), fileName, expected);
    return node.kind;
  } catch (error) {
    // The payload of the interface's `err` is what is thrown.
    throw describe(error, fileName);
  }
}

function choose(exports, fileName, expected) {
  const named = Object.keys(FUNCTIONS).filter((name) => name in exports);
  if (named.length > 1) {
    throw new Told(`${fileName} exports ${named.join(" and ")}: a node is one of them`);
  }
  let [name] = named;
  const value = name ? exports[name] : exports.default;
  if (!name && typeof value === "function") {
    name = Object.hasOwn(FUNCTIONS, value.name) ? value.name : NAMES[expected];
    if (!name) {
      throw new Told(`${fileName} has only a default export and no query uses it yet: export keep, transform or reduce by name`);
    }
  }
  if (typeof value !== "function") {
    throw new Told(
      name
        ? `${fileName}: the export ${name} is not a function`
        : `${fileName} exports no node: export function keep(row, args), transform(row, args) or reduce(rows, args)`,
    );
  }
  return { name, kind: FUNCTIONS[name], call: value, fileName };
}

function evaluate(batch) {
  const texts = [];
  const failures = [];
  for (const { args, rows } of parse(batch)) {
    deepFreeze(args);
    for (const row of rows) {
      let text = "null";
      try {
        text = answer(row, args);
      } catch (error) {
        failures.push({ row: texts.length, message: describe(error, node.fileName) });
      }
      texts.push(text);
    }
  }
  return { values: `[${texts.join(",")}]`, failures };
}

function answer(row, args) {
  const value = (0, node.call)(row, args);
  if (node.kind === "filter") {
    if (typeof value === "boolean") return value ? "true" : "false";
    throw new Told(`keep answered ${noun(value)}`);
  }
  switch (typeof value) {
    case "string":
    case "boolean":
      return stringify(value);
    default:
      check(value, node.name);
      return stringify(value);
  }
}

/** Arguments are shared by the rows of a group, so no row may change them for the next. */
function deepFreeze(value) {
  if (typeof value !== "object" || value === null) return;
  freeze(value);
  valuesOf(value).forEach(deepFreeze);
}

export const script = { load, evaluate };
