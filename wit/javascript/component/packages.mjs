// What a build says of a package that cannot be loaded where nothing but rows and args is to be had.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";

/** Packages that are found out often, and those that do the same without. */
const INSTEAD = { lodash: "lodash-es" };

/** The package that the file is of; undefined if it is none's. */
export function packageOf(file) {
  const inside = file.split("node_modules/").slice(1).at(-1);
  return inside && /^(@[^/]+\/)?[^/]+/.exec(inside)[0];
}

/** What the package `name` has thrown at `place` while it was loaded. */
export function thrownBy(name, place, thrown) {
  const [, what] = /^Error: (\S+\(\)): there is no \w+ while the file is loaded/.exec(thrown) ?? [];
  if (what === undefined) return `the package ${name} fails while it is loaded (${place}): ${thrown}`;
  const instead = Object.hasOwn(INSTEAD, name) ? `: take ${INSTEAD[name]}` : ": take a package that does not";
  return `the package ${name} calls ${what} while it is loaded (${place}), which no node may do${instead}`;
}

/**
 * Where the author's own files import the package that `file` is of, directly or through other packages: `helper.js:2`. `inputs` is what the
 * bundler says of each file, `entry` the first; undefined if that leads nowhere.
 */
export function importOf(file, inputs, entry, folder) {
  const from = new Map([[entry, undefined]]);
  for (const importer of from.keys()) {
    for (const { path, original } of inputs[importer]?.imports ?? []) {
      if (!from.has(path)) from.set(path, { importer, original });
    }
  }
  let edge = from.get(file);
  while (edge && packageOf(edge.importer) !== undefined) edge = from.get(edge.importer);
  if (edge === undefined || edge.importer === entry) return undefined;
  return `${edge.importer}${lineOf(resolve(folder, edge.importer), edge.original)}`;
}

/** `:2`, the line of the file that imports `original`; nothing if no line says so. */
function lineOf(path, original) {
  const lines = readFileSync(path, "utf8").split("\n");
  const at = lines.findIndex((line) => /\b(from|import|require)\b/.test(line) && [`"${original}"`, `'${original}'`].some((text) => line.includes(text)));
  return at < 0 ? "" : `:${at + 1}`;
}
