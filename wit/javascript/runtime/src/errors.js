// What was thrown, as one line for a person: `occupancy.js:3: ReferenceError: x is not defined`.

import { Inexact } from "./inexact.js";
import { Told } from "./told.js";

/** Frames of a stack that are told. */
const FRAMES = 6;

const NETWORK = "a node reaches no network: it sees its row and args alone";
const LATER = "a node answers at once: nothing can wait or come later";
const HOST = "a node's JavaScript is that of no browser and no Node.js";
const INTL = "this JavaScript has no languages and regions: write the format out";

/** Names that people expect, and why they are not there. */
const ABSENT = {
  fetch: NETWORK, XMLHttpRequest: NETWORK, WebSocket: NETWORK, EventSource: NETWORK,
  setTimeout: LATER, setInterval: LATER, setImmediate: LATER, queueMicrotask: LATER, requestAnimationFrame: LATER,
  clearTimeout: LATER, clearInterval: LATER,
  process: HOST, Buffer: HOST, global: HOST, window: HOST, document: HOST, navigator: HOST, URL: HOST, URLSearchParams: HOST,
  TextEncoder: HOST, TextDecoder: HOST, AbortController: HOST, localStorage: HOST, atob: HOST, btoa: HOST, WebAssembly: HOST,
  performance: "a node's answer must depend on its row and args alone; declare every: to read the clock",
  crypto: "a node's answer must depend on its row and args alone",
  require: 'write import { x } from "./x.js"; packages need `sangre node build`',
  module: "write export", exports: "write export", __dirname: HOST, __filename: HOST,
  Intl: INTL,
  structuredClone: "write JSON.parse(JSON.stringify(value)) for JSON values",
};

/**
 * `error` is whatever was thrown, by the node or by what runs it. `framesOf` takes the text of a stack to places in the node's own
 * files, `{ name, line }`, innermost first; `title` is how messages call the node, once it has one.
 */
export function describe(error, { fileName, framesOf, title }) {
  try {
    if (error instanceof Told) return error.text;
    if (!(error instanceof Error)) return `${fileName}: threw ${shown(error)}`;
    const frames = framesOf(typeof error.stack === "string" ? error.stack : "");
    const [place] = frames;
    if (error instanceof Inexact) return `${place ? shownPlace(place) : title}: ${error.message}${callers(frames)}`;
    return `${place ? shownPlace(place) : fileName}: ${said(error)}${callers(frames)}`;
  } catch {
    // A getter or toJSON of the thrown object threw in turn.
    return `${fileName}: threw something that cannot be shown`;
  }
}

function said(error) {
  const [, absent] = (error instanceof ReferenceError && /^'?(\w+)'? is not defined$/.exec(error.message)) || [];
  const why = Object.hasOwn(ABSENT, absent ?? "") ? `: ${ABSENT[absent]}` : "";
  const cause = error.cause instanceof Error ? ` (cause: ${error.cause.name}: ${error.cause.message})` : "";
  return `${error.name}: ${error.message}${why}${cause}`;
}

/** Where the innermost place in the node's own files is; undefined if the stack has none. */
export function placeOfStack(stack, framesOf) {
  const [place] = framesOf(typeof stack === "string" ? stack : "");
  return place && shownPlace(place);
}

const lineOf = Object.getOwnPropertyDescriptor(Function.prototype, "lineNumber")?.get;

/**
 * How messages call `call`, the node's function `name`: `occupancy.js:3: keep`. `placeOf` takes a line as the engine counts them to a
 * place in the node's own files, `{ name, line }`, if it is in one.
 */
export function titleOf(call, name, fileName, placeOf) {
  return `${shownPlace(placeOf(lineOf?.call(call)) ?? { name: fileName })}: ${name}`;
}

function shownPlace({ name, line }) {
  return line === undefined ? name : `${name}:${line}`;
}

/** Who called the function that threw: `, called at summary.js:8, summary.js:3`. */
function callers([, ...frames]) {
  if (frames.length === 0) return "";
  const more = frames.length > FRAMES ? " and others" : "";
  return `, called at ${frames.slice(0, FRAMES).map(shownPlace).join(", ")}${more}`;
}

function shown(value) {
  const json = typeof value === "bigint" ? undefined : JSON.stringify(value);
  return json ?? (typeof value === "function" ? "a function" : String(value));
}
