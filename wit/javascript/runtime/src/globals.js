// What a node may reach by name. A node is a pure function: what would make it answer differently the second time is an
// error that says so, and what a person expects for looking at values is there. A node with `every` has the clock of the tick, and
// randomness that begins anew with each row, from the tick and the row, so that equal questions have equal answers.

import clock from "sangre:node/clock@0.1.0";
import log from "sangre:node/log@0.1.0";
import { peeked } from "./inexact.js";

const { stringify } = JSON;
const NativeDate = Date;

function impure(what, remedy) {
  return function () {
    throw new Error(`${what}: ${remedy}`);
  };
}

const theClock = {
  asked: "a node's answer must depend on its row and args alone; declare every: to read the clock",
  loading: "there is no clock while the file is loaded: read it inside of the function, and declare every:",
};
const randomness = {
  asked: "a node's answer must depend on its row and args alone; declare every: for randomness",
  loading: "there is no randomness while the file is loaded: ask for it inside of the function, and declare every:",
};

// The row that is asked, and its args; undefined while a module's own statements run, which have no clock.
let question;

// The time of the tick in milliseconds; without one, what asked for it is an error.
function tick(what, { asked, loading }) {
  if (question === undefined) impure(what, loading)();
  const now = clock.now();
  if (now === undefined || now === null) impure(what, asked)();
  return Number(now);
}

// `new Date(text)` and the like are pure. `new Date()` and `Date()` read the clock.
function PureDate(...parts) {
  if (!new.target) return new NativeDate(tick("Date()", theClock)).toString();
  const time = parts.length === 0 ? [tick("new Date()", theClock)] : parts;
  return Reflect.construct(NativeDate, time, new.target);
}
PureDate.prototype = NativeDate.prototype;
NativeDate.prototype.constructor = PureDate;
PureDate.parse = NativeDate.parse;
PureDate.UTC = NativeDate.UTC;
PureDate.now = () => tick("Date.now()", theClock);
Object.defineProperty(PureDate, "name", { value: "Date" });
globalThis.Date = PureDate;

// There are no languages and regions in this engine: what needs them would answer as if for some other one.
const readsLocales = "this JavaScript has no languages and regions; write the format out, as with toFixed or toISOString";
for (const [prototype, names] of [
  [Number.prototype, ["toLocaleString"]],
  [BigInt.prototype, ["toLocaleString"]],
  [NativeDate.prototype, ["toLocaleString", "toLocaleDateString", "toLocaleTimeString"]],
]) {
  for (const name of names) {
    Object.defineProperty(prototype, name, { value: impure(`${name}()`, readsLocales), configurable: true, writable: true });
  }
}
for (const name of ["localeCompare", "toLocaleUpperCase", "toLocaleLowerCase"]) {
  const native = String.prototype[name];
  const expected = name === "localeCompare" ? 1 : 0;
  const value = function (...given) {
    if (given.length > expected) impure(`${name}() with a language`, readsLocales)();
    return native.apply(this, given);
  };
  Object.defineProperty(String.prototype, name, { value, configurable: true, writable: true });
}

let random;

// A row begins.
export function ask(row, args) {
  question = [row, args];
  random = undefined;
}

Math.random = () => {
  random ??= generator(`${tick("Math.random()", randomness)} ${peeked(() => stringify(question))}`);
  return random();
};
if (globalThis.performance) globalThis.performance = { now: () => tick("performance.now()", theClock) };

// Numbers from 0 to 1 that follow from the text: its hash by FNV-1a, then splitmix32.
function generator(text) {
  let state = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) state = Math.imul(state ^ text.charCodeAt(at), 0x01000193);
  const next = () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
  return () => ((next() >>> 5) * 0x4000000 + (next() >>> 6)) / 0x20000000000000;
}

function shown(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  try {
    return peeked(() => stringify(value)) ?? String(value);
  } catch {
    return String(value);
  }
}

const writer = (level) => (...values) => log.write(level, values.map(shown).join(" "));
globalThis.console = {
  debug: writer("debug"),
  trace: writer("debug"),
  log: writer("info"),
  info: writer("info"),
  warn: writer("warn"),
  error: writer("error"),
};
