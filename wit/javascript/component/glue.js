// What makes a component of a node's module: batches in, answers out. `build.mjs` writes the entry that uses it.

import "../runtime/src/globals.js";
import { evaluate } from "../runtime/src/answers.js";
import { titleOf } from "../runtime/src/errors.js";

const NAMES = { filter: "keep", map: "transform", reduce: "reduce" };

// While the component is built the module's own statements run, and there is no log yet.
let asked = false;
for (const [level, write] of Object.entries(console)) {
  console[level] = (...values) => {
    if (asked) write(...values);
  };
}

/** The exported function that answers batches with `call`. */
export function answering(call, kind, fileName) {
  const name = NAMES[kind];
  // While the component is built, so this is the build's error.
  if (typeof call !== "function") throw new Error(`the export ${name} is not a function`);
  const node = { kind, call, fileName, framesOf };
  return (batch) => {
    asked = true;
    // The bundle has run to its end by now.
    node.title ??= titleOf(call, name, fileName, placeOf);
    return evaluate(node, batch);
  };
}

/** The places of a stack that are in the author's own files. */
function framesOf(stack) {
  const frames = [];
  for (const [, line] of stack.matchAll(/:(\d+):\d+\)?$/gm)) {
    const place = placeOf(line);
    if (place) frames.push(place);
  }
  return frames;
}

/** The author's place that this line of the bundle comes from; undefined if it is the glue's own. */
function placeOf(line) {
  // The bundle ends with it: by line of the bundle, which file and line of the author's it comes from.
  const [file, at] = SANGRE_LINES.places[line - 1] ?? [];
  return file === undefined ? undefined : { name: SANGRE_LINES.files[file], line: at };
}
