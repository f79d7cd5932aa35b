// What a node may reach by name. A node is a pure function: what would make it answer differently the second time is an
// error that says so, and what a person expects for looking at values is there.

import log from "sangre:node/log@0.1.0";

const { stringify } = JSON;
const NativeDate = Date;

function impure(what, remedy) {
  return function () {
    throw new Error(`${what}: ${remedy}`);
  };
}

const readsTheClock = "a node's answer must depend on its row and args alone; declare every: to read the clock";
const readsRandomness = "a node's answer must depend on its row and args alone; declare every: for randomness";

// `new Date(text)` and the like are pure. `new Date()` and `Date()` read the clock.
function PureDate(...parts) {
  if (!new.target) impure("Date()", readsTheClock)();
  if (parts.length === 0) impure("new Date()", readsTheClock)();
  return Reflect.construct(NativeDate, parts, new.target);
}
PureDate.prototype = NativeDate.prototype;
NativeDate.prototype.constructor = PureDate;
PureDate.parse = NativeDate.parse;
PureDate.UTC = NativeDate.UTC;
PureDate.now = impure("Date.now()", readsTheClock);
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

Math.random = impure("Math.random()", readsRandomness);
if (globalThis.performance) globalThis.performance = { now: impure("performance.now()", readsTheClock) };

function shown(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  try {
    return stringify(value) ?? String(value);
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
