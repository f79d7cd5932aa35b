// Reads one file of a script: types go, what it imports is found, and it becomes what the runtime evaluates.
//
// A component of its own and not a part of the runtime: what it needs for this would be in the memory of every instance.

import { candidates } from "../imports.js";
import { rewrite } from "./module.js";
import { checkSyntax } from "./syntax.js";
import { eraseTypes } from "./types.js";
import { Unreadable, placeOf } from "./unreadable.js";

function read({ name, text }) {
  // Every step is about the text the one before has made.
  let current = text;
  try {
    if (/\.m?ts$/.test(name)) current = eraseTypes(text);
    const module = rewrite(current);
    current = module.text;
    checkSyntax(current);
    return { text: current, imports: module.imports.map((one) => named(one, name)) };
  } catch (error) {
    // The payload of the interface's `err` is what is thrown.
    if (typeof error === "string") throw error;
    if (error instanceof Unreadable) throw `${name}:${placeOf(current, error.pos, text)}: SyntaxError: ${error.message}`;
    throw `${name}: cannot be read: ${error}`;
  }
}

function named({ from, line }, importer) {
  const names = candidates(from, importer);
  if (typeof names === "string") throw `${importer}:${line}: ${names}`;
  return { from, line, candidates: names };
}

export const scriptReader = { read };
