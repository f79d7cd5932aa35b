// The ready JavaScript runtime: a component that is given a node's source, then answers batches.
//
// One instance holds one node.

import "./globals.js";
import { evaluate } from "./answers.js";
import { describe, titleOf } from "./errors.js";
import { evaluate as evaluateFiles, framesOf, placeOf } from "./modules.js";
import { Told } from "./told.js";

const FUNCTIONS = { keep: "filter", transform: "map", reduce: "reduce" };
const NAMES = { filter: "keep", map: "transform", reduce: "reduce" };

let node; // As answers.js asks it.

function load(files, expected) {
  const [{ name: fileName }] = files;
  try {
    node = choose(evaluateFiles(files), fileName, expected);
    return node.kind;
  } catch (error) {
    // The payload of the interface's `err` is what is thrown.
    throw describe(error, { fileName, framesOf });
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
      throw new Told(`${fileName} has only a default export and no query uses it yet: export keep, transform or reduce by name, or say --kind to \`sangre node\``);
    }
  }
  if (typeof value !== "function") {
    throw new Told(
      name
        ? `${fileName}: the export ${name} is not a function`
        : `${fileName} exports no node${instead(exports)}: export function keep(row, args), transform(row, args) or reduce(rows, args)`,
    );
  }
  return { title: titleOf(value, name, fileName, placeOf), kind: FUNCTIONS[name], call: value, fileName, framesOf };
}

/** A misspelt name is seen at once beside the right ones. */
function instead(exports) {
  const names = Object.keys(exports).filter((name) => name !== "default");
  if (names.length === 0) return "";
  return `, but ${names.slice(0, 3).join(", ")}${names.length > 3 ? ", ..." : ""}`;
}

export const script = {
  load,
  evaluate: (batch) => evaluate(node, batch),
};
