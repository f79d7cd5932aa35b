// A node's answers to a batch: every row is asked, and what the node says is JSON or that row's error.
//
// Runs in the same engine as the node's code, so nothing a node does is trusted: whatever it returns is checked before it
// is written.

import { describe } from "./errors.js";
import { ask } from "./globals.js";
import { Told } from "./told.js";
import { fieldsOf } from "./fields.js";
import { guardArgs, guardRows, peeked } from "./inexact.js";
import { check, noun } from "./values.js";
import { watched } from "./watch.js";

const { freeze, values: valuesOf } = Object;
const { parse, stringify } = JSON;

/**
 * `node` is { title, kind, call, fileName, framesOf }: the first as messages call it, the last takes the text of a stack to places in the
 * node's own files, `{ name, line }`, innermost first.
 */
export function evaluate(node, batch) {
  const texts = [];
  const failures = [];
  for (const group of parse(batch)) {
    const unheld = guarded(node, group);
    const { args, rows } = group.watch ? watched(node, group) : group;
    for (let index = 0; index < rows.length; index++) {
      const row = rows[index];
      let text = "null";
      ask(row, args);
      try {
        if (unheld?.has(index)) throw unheld.get(index);
        text = answer(node, row, args);
      } catch (error) {
        failures.push({ row: texts.length, message: describe(error, node) + fieldsOf(error, node.call, row, args) });
      }
      texts.push(text);
    }
  }
  return { values: `[${texts.join(",")}]`, failures };
}

/** Makes numbers that JavaScript cannot hold errors to read, and args unchangeable; the errors of rows that are such numbers, if any are. */
function guarded({ kind }, { args, rows, inexact, inexact_args }) {
  if (inexact_args === undefined) {
    deepFreeze(args);
  } else {
    guardArgs(args, inexact_args);
    peeked(() => deepFreeze(args));
  }
  return inexact && guardRows(rows, kind, inexact);
}

function answer(node, row, args) {
  const value = (0, node.call)(row, args);
  if (node.kind === "filter") {
    if (typeof value === "boolean") return value ? "true" : "false";
    throw new Told(`${node.title} answered ${noun(value)}`);
  }
  switch (typeof value) {
    case "string":
    case "boolean":
      return stringify(value);
    default:
      check(value, node.title);
      return stringify(value);
  }
}

/** Arguments are shared by the rows of a group, so no row may change them for the next. */
function deepFreeze(value) {
  if (typeof value !== "object" || value === null) return;
  freeze(value);
  valuesOf(value).forEach(deepFreeze);
}
