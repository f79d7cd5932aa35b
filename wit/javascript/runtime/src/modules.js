// Evaluates a module that is known only at run time.
//
// The engine's own module loader is gone when the component is built, so a module is evaluated as the body of a strict
// function, line for line: `export` becomes a note of what is exported, and `import` is refused. Only statements at the
// outermost level can be either, so a tokenizer that knows comments, strings, templates, regular expressions and
// brackets finds them; no part of the source is otherwise looked at.

/** The file name the engine gives code that was evaluated from text. */
export const EVALUATED = "<input>";

const indirectEval = eval;

/** The module's exports, by name. */
export function evaluateModule(source, fileName) {
  const { body, exported } = rewrite(source, fileName);
  const members = exported.map(([name, local]) => `get ${JSON.stringify(name)}(){return ${local};}`);
  // On the source's own first line, so that line numbers stay. The exports are read after the body has run.
  const text = `(function(){"use strict";let ${DEFAULT};${body}\n;return{${members.join(",")}};})`;
  return indirectEval(text)();
}

const DEFAULT = "__sangre_default__";

function rewrite(text, fileName) {
  const source = text.replace(/^#!/, "//");
  const tokens = tokenize(source, fileName);
  const exported = [];
  const pieces = [];
  let copied = 0;
  // What replaces a piece keeps its line ends, so that line numbers stay.
  const replace = (start, end, text) => {
    pieces.push(source.slice(copied, start), text, source.slice(start, end).replace(/[^\n]/g, ""));
    copied = end;
  };
  tokens.forEach((token, index) => {
    if (!isKeyword(tokens, index)) return;
    if (token.text === "import" && (token.depth === 0 || tokens[index + 1]?.text === "(")) {
      fail(fileName, token, "import is not supported in script nodes yet: put everything in one file");
    }
    if (token.text === "export" && token.depth === 0) exportAt(tokens, index, { fileName, exported, replace });
  });
  pieces.push(source.slice(copied));
  return { body: pieces.join(""), exported };
}

function isKeyword(tokens, index) {
  const { text, kind } = tokens[index];
  return kind === "name" && (text === "export" || text === "import") && tokens[index - 1]?.text !== ".";
}

/** Handles the `export` at `index`: notes the names, and replaces the keyword so that a declaration is left. */
function exportAt(tokens, index, { fileName, exported, replace }) {
  const keyword = tokens[index];
  const [next, second, third] = tokens.slice(index + 1, index + 4);
  const unsupported = () => fail(fileName, keyword, `this form of export is not supported in script nodes yet`);
  switch (next?.text) {
    case "default":
      return exportDefault(tokens, index, { exported, replace });
    case "function":
    case "class": {
      const name = second?.text === "*" ? third : second;
      if (name?.kind !== "name") return unsupported();
      exported.push([name.text, name.text]);
      return replace(keyword.start, keyword.end, "");
    }
    case "async":
      if (third?.kind !== "name") return unsupported();
      exported.push([third.text, third.text]);
      return replace(keyword.start, keyword.end, "");
    case "const":
    case "let":
    case "var":
      if (second?.kind !== "name") return unsupported();
      exported.push([second.text, second.text]);
      return replace(keyword.start, keyword.end, "");
    case "{":
      return exportList(tokens, index, { fileName, exported, replace, unsupported });
    default:
      return unsupported();
  }
}

/** `export default` of a named function or class stays a declaration; anything else is an expression. */
function exportDefault(tokens, index, { exported, replace }) {
  let at = index + 2;
  if (tokens[at]?.text === "async" && tokens[at + 1]?.text === "function") at++;
  const declares = tokens[at]?.text === "function" || tokens[at]?.text === "class";
  const name = tokens[at + 1]?.text === "*" ? tokens[at + 2] : tokens[at + 1];
  const named = declares && name?.kind === "name" && name.text !== "extends";
  exported.push(["default", named ? name.text : DEFAULT]);
  replace(tokens[index].start, tokens[index + 1].end, named ? "" : `${DEFAULT}=`);
}

function exportList(tokens, index, { exported, replace, unsupported }) {
  let at = index + 2;
  while (tokens[at] && tokens[at].text !== "}") {
    const local = tokens[at].text;
    let name = local;
    if (tokens[at + 1]?.text === "as") {
      name = tokens[at + 2]?.text ?? "";
      at += 2;
    }
    exported.push([name, local]);
    at += tokens[at + 1]?.text === "," ? 2 : 1;
  }
  const close = tokens[at];
  if (!close || tokens[at + 1]?.text === "from") return unsupported();
  return replace(tokens[index].start, close.end, ";");
}

function fail(fileName, token, message) {
  throw `${fileName}:${token.line}: SyntaxError: ${message}`;
}

// After these a slash begins a regular expression, not a division.
const BEFORE_EXPRESSION = new Set(
  "return typeof instanceof in of new delete void throw case do else yield await default extends".split(" "),
);
const PAREN_BEFORE_STATEMENT = new Set(["if", "while", "for", "with"]);
const NAME = /[\p{ID_Start}$_#\\][\p{ID_Continue}$\u200c\u200d\\]*/uy;
const NUMBER = /(?:0[xXbBoO][\da-fA-F_]+|(?:\d[\d_]*)?\.?\d[\d_]*(?:[eE][+-]?\d+)?\.?)n?/y;
const SPACE = /(?:\s|\/\/[^\n]*|\/\*[^]*?\*\/)+/y;
const STRING = /"(?:[^"\\\n]|\\[^])*"|'(?:[^'\\\n]|\\[^])*'/y;
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
const TEMPLATE = /(?:[^`\\$]|\\[^]|\$(?!\{))*/y;
const OPENS = { "(": ")", "[": "]", "{": "}" };

/** The tokens of `source`: where each stands, at which line, and inside how many brackets. */
function tokenize(source, fileName) {
  const tokens = [];
  const open = []; // brackets: { text, close, before } where `before` is the token in front
  let at = 0;
  let line = 1;
  const match = (pattern) => {
    pattern.lastIndex = at;
    return pattern.exec(source)?.[0];
  };
  const advance = (length) => {
    for (let end = at + length; at < end; at++) if (source.charCodeAt(at) === 10) line++;
  };
  const push = (kind, text) => {
    tokens.push({ kind, text, start: at, end: at + text.length, line, depth: open.length });
    advance(text.length);
  };
  const template = () => {
    advance(match(TEMPLATE).length);
    if (source[at] === "`") return advance(1);
    if (at >= source.length) fail(fileName, { line }, "a template is not closed");
    open.push({ text: "${", close: "}", line });
    advance(2);
  };

  for (;;) {
    const space = match(SPACE);
    if (space) advance(space.length);
    if (at >= source.length) break;
    const char = source[at];
    let text;
    if ((text = match(NAME))) push("name", text);
    else if ((text = match(NUMBER))) push("value", text);
    else if (char === '"' || char === "'") {
      if (!(text = match(STRING))) fail(fileName, { line }, "a text is not closed");
      push("value", text);
    } else if (char === "`") {
      tokens.push({ kind: "value", text: "`", start: at, end: at, line, depth: open.length });
      advance(1);
      template();
    } else if (char === "/" && regexAllowed(tokens.at(-1)) && (text = match(REGEX))) push("value", text);
    else if (char in OPENS) {
      const before = tokens.at(-1);
      push("open", char);
      open.push({ text: char, close: OPENS[char], before, line });
    } else if (char === ")" || char === "]" || char === "}") {
      const opened = open.pop();
      if (opened?.close !== char) fail(fileName, { line }, `unexpected ${char}`);
      if (opened.text === "${") {
        advance(1);
        tokens.push({ kind: "value", text: "`", start: at, end: at, line, depth: open.length });
        template();
      } else {
        push("close", char);
        tokens.at(-1).before = opened.before;
      }
    } else push("mark", char);
  }
  if (open.length > 0) {
    const { text, line: opened } = open.at(-1);
    fail(fileName, { line: opened }, `${text} is never closed`);
  }
  return tokens;
}

/** Whether a slash after `token` begins a regular expression. */
function regexAllowed(token) {
  if (!token) return true;
  if (token.kind === "name") return BEFORE_EXPRESSION.has(token.text);
  if (token.kind === "close") return token.text === ")" && PAREN_BEFORE_STATEMENT.has(token.before?.text);
  return token.kind !== "value";
}
