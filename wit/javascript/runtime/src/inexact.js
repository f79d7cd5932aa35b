// Numbers that JavaScript cannot hold. The server says where in a batch they are, with their digits, and reading one is an error: no
// digit is lost without a word, and a function that does not read it never notices.

const { defineProperty, isFrozen } = Object;
const { isInteger } = Number;
const { stringify } = JSON;

/** Digits that are told. */
const SHOWN = 60;

const REMEDY = "write numbers: string on the node";

/** What reading such a number throws. Its message says all but the place. */
export class Inexact extends RangeError {
  constructor(name, text, remedy) {
    const digits = text.length > SHOWN ? `${text.slice(0, SHOWN)}...` : text;
    super(`${name} is ${digits}, which a number in JavaScript cannot hold: ${remedy}`);
  }
}

let isPeeking = false;

/** What `look` answers, for whom such numbers are texts: this runtime's own looks at row and args are no reading. */
export function peeked(look) {
  const before = isPeeking;
  isPeeking = true;
  try {
    return look();
  } finally {
    isPeeking = before;
  }
}

/** Guards the numbers of a group's args: `numbers` is `[[way, digits], ...]`. */
export function guardArgs(args, numbers) {
  for (const number of numbers) guard(args, 0, number, "args", REMEDY);
}

/** Guards those of its rows, the first step of whose ways is the row. What is a number as a whole is given back: row to error. */
export function guardRows(rows, kind, numbers) {
  const [name, all] = kind === "reduce" ? ["rows", "the list"] : ["row", "the row"];
  const whole = new Map();
  for (const number of numbers) {
    const [way, text] = number;
    if (way.length === 1) whole.set(way[0], new Inexact(all, text, REMEDY));
    else guard(rows[way[0]], 1, number, name, `${REMEDY}, or leave the field out of its input`);
  }
  return whole;
}

/** Makes reading the number an error; its way goes on from `holder` with the step `from`. A list may have thousands. */
function guard(holder, from, [way, text], name, remedy) {
  const last = way.length - 1;
  for (let at = from; at < last; at++) holder = holder[way[at]];
  const key = way[last];
  defineProperty(holder, key, {
    get() {
      if (isPeeking) return text;
      throw new Inexact(name + way.slice(from).map(shown).join(""), text, remedy);
    },
    // From then on it is as any other.
    set(value) {
      if (isFrozen(this)) throw new TypeError(`'${key}' is read-only`);
      defineProperty(this, key, { value, writable: true, enumerable: true, configurable: true });
    },
    enumerable: true,
    configurable: true,
  });
}

function shown(step) {
  if (isInteger(step)) return `[${step}]`;
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(step) ? `.${step}` : `[${stringify(step)}]`;
}
