// What makes a file unreadable, and where.

/** `message` is one line; `pos` counts characters of the text that was read. */
export class Unreadable extends Error {
  constructor(message, pos) {
    super(message);
    this.pos = pos;
  }
}

/** A parser's error about `text`, with what it stumbled over. */
export function unreadable({ message, pos }, text) {
  const said = message.replace(/ \(\d+:\d+\)$/, "");
  if (said !== "Unexpected token") return new Unreadable(said[0].toLowerCase() + said.slice(1), pos);
  const [found] = /^(?:[\p{ID_Continue}$]+|.|$)/su.exec(text.slice(pos, pos + 40));
  return new Unreadable(found === "" ? "the file ends where more is expected: is a bracket not closed?" : `unexpected '${found}'`, pos);
}

/**
 * `3:14`, both from 1: where the character at `pos` of `text` is in `source`, from which that was made line by line. Just the line where
 * it is not certain which column that was.
 */
export function placeOf(text, pos, source) {
  const lines = text.slice(0, pos).split("\n");
  const line = lines.length - 1;
  const column = lines[line].length;
  const [made, theirs] = [text, source].map((one) => one.split("\n")[line] ?? "");
  // What was taken away left its width.
  if (made.length === theirs.length || made.slice(0, column + 1) === theirs.slice(0, column + 1)) return `${line + 1}:${column + 1}`;
  const rest = made.slice(column);
  return rest !== "" && theirs.endsWith(rest) ? `${line + 1}:${theirs.length - rest.length + 1}` : `${line + 1}`;
}
