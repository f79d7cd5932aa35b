// What was thrown, as one line for a person: `occupancy.js:3: ReferenceError: x is not defined`.

import { EVALUATED } from "./modules.js";

/** `error` is whatever was thrown; a text is a finished message of this runtime. */
export function describe(error, fileName) {
  try {
    if (typeof error === "string") return error;
    if (!(error instanceof Error)) return `${fileName}: threw ${JSON.stringify(error) ?? typeof error}`;
    const line = lineOf(error);
    return `${fileName}${line === undefined ? "" : `:${line}`}: ${error.name}: ${error.message}`;
  } catch {
    // A getter or toJSON of the thrown object threw in turn.
    return `${fileName}: threw something that cannot be shown`;
  }
}

/** The innermost line of the node's own code. */
function lineOf(error) {
  const stack = typeof error.stack === "string" ? error.stack : "";
  const at = stack.indexOf(EVALUATED);
  const found = at < 0 ? null : /^:(\d+)/.exec(stack.slice(at + EVALUATED.length));
  return found ? Number(found[1]) : undefined;
}
