// The engine's own view of a file's syntax, before anything runs: the parser that reads modules knows more of the language than the
// engine runs, so the engine has the last word.

import { Unreadable } from "./unreadable.js";

const indirectEval = eval;

/** Throws if the engine cannot run the expression `text`. */
export function checkSyntax(text) {
  try {
    // Compiled and not run.
    indirectEval(`(function(){return ${text}\n})`);
  } catch (error) {
    const [, line, column] = /:(\d+):(\d+)/.exec(error.stack ?? "") ?? [, 1, 1];
    const before = text.split("\n").slice(0, line - 1);
    throw new Unreadable(error.message, before.join("\n").length + Math.min(before.length, 1) + Number(column) - 1);
  }
}
