// Links and evaluates the files of a script, each of which the reader has made an expression for an object: see reader/module.js.

import { candidates } from "./imports.js";
import { Told } from "./told.js";

// Lines above those of files: what a node itself evaluates has small numbers, and is not taken for the node's files.
const FIRST_LINE = 10_000;

const indirectEval = eval;

let files = []; // { name, first, lines }, in the order of their lines

/** Evaluates the files, `[{ name, text }]`, of which the first is the node's own: its exports. */
export function evaluate(texts) {
  let first = FIRST_LINE + 1;
  files = texts.map(({ name, text }) => {
    const lines = text.split("\n").length;
    first += lines;
    return { name, first: first - lines, lines };
  });
  // In one go, so that a line of the whole tells the file.
  const whole = `${"\n".repeat(FIRST_LINE)}[${texts.map(({ text }) => text).join(",\n")}]`;
  const modules = indirectEval(whole).map((record, index) => ({ ...record, name: files[index].name, sangre: { d: undefined } }));
  const byName = new Map(modules.map((module) => [module.name, module]));
  for (const module of modules) {
    module.targets = module.imports.map(({ from }) => byName.get(candidates(from, module.name).find((name) => byName.has(name))));
  }
  for (const module of modules) module.scope = link(module);
  run(modules[0]);
  modules.forEach(settle);
  return spaceOf(modules[0]);
}

/** The node's own frames of a stack, innermost first: `{ name, line }`. */
export function framesOf(stack) {
  const frames = [];
  for (const [, within, at] of stack.matchAll(/^\s*at (?:(\S+) )?\(?<input>:(\d+)/gm)) {
    const place = within !== "$run" && placeOf(at);
    if (place) frames.push(place);
  }
  return frames;
}

/** The place in the node's own files that is this line of the whole; undefined if none is. */
export function placeOf(at) {
  const file = files.findLast(({ first }) => first <= at);
  return file && at < file.first + file.lines ? { name: file.name, line: at - file.first + 1 } : undefined;
}

/** An object whose properties are the names that `module` imports. */
function link(module) {
  module.fixed = [];
  const scope = Object.create(null);
  module.imports.forEach(({ from, line, names }, index) => {
    const target = module.targets[index];
    for (const [local, imported] of names) {
      if (imported === undefined) {
        define(scope, local, () => spaceOf(target));
        continue;
      }
      const origin = originOf(target, imported, new Set());
      if (typeof origin === "string") throw new Told(`${module.name}:${line}: SyntaxError: ${origin}`);
      if (!origin) throw new Told(`${module.name}:${line}: SyntaxError: ${from} exports no ${imported}`);
      define(scope, local, () => valueOf(origin, imported));
      if (!origin.changing.includes(imported)) module.fixed.push([local, origin, imported]);
    }
  });
  return scope;
}

function define(object, name, get) {
  Object.defineProperty(object, name, { get, enumerable: true, configurable: true });
}

/** Makes what cannot change any more a plain value, which is faster to read. */
function settle({ scope, fixed }) {
  for (const [local, origin, imported] of fixed) {
    Object.defineProperty(scope, local, { value: valueOf(origin, imported), writable: false });
  }
}

/** The module whose own export `name` of `module` is; a text if that is not certain. */
function originOf(module, name, seen) {
  if (seen.has(module)) return undefined;
  seen.add(module);
  if (module.exports.includes(name)) return module;
  if (name === "default") return undefined;
  let found;
  for (const star of module.stars) {
    const origin = originOf(module.targets[star], name, seen);
    if (typeof origin === "string") return origin;
    if (origin && found && origin !== found) return `${found.name} and ${origin.name} both export ${name} through ${module.name}`;
    found ??= origin;
  }
  return found;
}

function valueOf(module, name) {
  if (!module.space) throw new ReferenceError(`${name} of ${module.name} is used before that file has run: they import each other`);
  return module.space[name];
}

/** All that `module` exports, as one object. */
function spaceOf(module) {
  if (module.whole) return module.whole;
  const whole = Object.create(null);
  for (const name of namesOf(module, new Set())) {
    const origin = originOf(module, name, new Set());
    if (typeof origin === "object") define(whole, name, () => valueOf(origin, name));
  }
  module.whole = Object.freeze(whole);
  return module.whole;
}

function namesOf(module, seen) {
  if (seen.has(module)) return [];
  seen.add(module);
  const others = module.stars.flatMap((star) => namesOf(module.targets[star], seen).filter((name) => name !== "default"));
  return [...new Set([...module.exports, ...others])];
}

function run(module) {
  if (module.begun) return;
  module.begun = true;
  module.targets.forEach(run);
  module.sangre.exports = (exports) => {
    module.space = exports;
  };
  module.$run(module.sangre, module.scope);
}
