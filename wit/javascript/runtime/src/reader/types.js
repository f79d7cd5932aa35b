// TypeScript to JavaScript: types are replaced by spaces, so lines and columns stay as they are. Nothing is checked.
//
// What is erased is found by sucrase, which knows TypeScript's grammar. It only drops types, and where a statement is ended by
// the types that follow it, or is one of types alone, nothing would end it any more: `a = b \n type T = 1 \n (c)()` would become a
// call. There a semicolon is left. What would vanish though it does something is refused.

import getImportedNames from "sucrase/dist/esm/util/getTSImportedNames";
import { HelperManager } from "sucrase/dist/esm/HelperManager";
import NameManager from "sucrase/dist/esm/NameManager";
import TokenProcessor from "sucrase/dist/esm/TokenProcessor";
import identifyShadowedGlobals from "sucrase/dist/esm/identifyShadowedGlobals";
import { parse } from "sucrase/dist/esm/parser/index";
import { TokenType as tt } from "sucrase/dist/esm/parser/tokenizer/types";
import RootTransformer from "sucrase/dist/esm/transformers/RootTransformer";
import { Unreadable, unreadable } from "./unreadable.js";

/** The JavaScript in `source`. */
export function eraseTypes(source) {
  const file = parsed(source);
  const options = { transforms: ["typescript"], disableESTransforms: true };
  const names = new NameManager(source, file.tokens);
  const helpers = new HelperManager(names);
  const tokens = new Eraser(source, file.tokens, helpers);
  refuse(source, file.tokens);
  identifyShadowedGlobals(tokens, file.scopes, getImportedNames(tokens));
  const context = { tokenProcessor: tokens, scopes: file.scopes, nameManager: names, importProcessor: null, helperManager: helpers };
  return new RootTransformer(context, options.transforms, false, options).transform().code;
}

function parsed(source) {
  try {
    return parse(source, false, true, false);
  } catch (error) {
    if (typeof error.pos !== "number") throw error;
    throw unreadable(error, source);
  }
}

const spaces = (text) => text.replace(/[^\r\n]/g, " ");

/** Writes spaces where sucrase writes nothing. */
class Eraser extends TokenProcessor {
  /** Ends of gaps in what is written: by the token that was dropped last, where the gap ends. */
  gaps = [];

  constructor(source, tokens, helpers) {
    super(source, tokens, false, true, helpers);
  }

  removeInitialToken() {
    this.dropped(this.tokenIndex, this.previousWhitespaceAndComments());
  }

  removeToken() {
    this.dropped(this.tokenIndex, spaces(this.previousWhitespaceAndComments()));
  }

  dropped(index, before) {
    const token = this.tokens[index];
    this.resultCode += before;
    this.resultMappings[index] = this.resultCode.length;
    this.resultCode += spaces(this.code.slice(token.start, token.end));
    this.tokenIndex++;
    const last = this.gaps.at(-1);
    if (last?.to === index - 1) Object.assign(last, { to: index, end: this.resultCode.length });
    else this.gaps.push({ from: index, to: index, end: this.resultCode.length });
  }

  finish() {
    const result = super.finish();
    for (const { from, to, end } of this.gaps) {
      if (!this.endsStatement(from, to)) continue;
      result.code = `${result.code.slice(0, end - 1)};${result.code.slice(end)}`;
    }
    return result;
  }

  /** Whether the tokens from `from` to `to`, which are dropped, are what keeps two statements apart. */
  endsStatement(from, to) {
    const { code, tokens } = this;
    const text = (index) => (tokens[index] ? code.slice(tokens[index].start, tokens[index].end) : "");
    const next = text(to + 1);
    if (!CONTINUES.has(next) && !next.startsWith("`")) return false;
    if (!/[\r\n]/.test(code.slice(tokens[to].end, tokens[to + 1].start)) && text(to) !== "}") return false;
    while (text(from) === "!" && from < to) from++;
    if (text(from) === "as" || text(from) === "satisfies") return !CONTINUES_TYPED.has(next);
    return tokens[from].type === tt._import || tokens[from].type === tt._export || STATEMENTS.has(text(from));
  }
}

// What goes on with the statement before it, if nothing ends that.
const CONTINUES = new Set(["(", "[", "+", "-", "/", "*", "<", "++", "--"]);
// After `x as T` these do so in TypeScript, too.
const CONTINUES_TYPED = new Set(["+", "-", "/", "*", "<"]);
const STATEMENTS = new Set(["type", "interface", "declare", "function"]);

/** Refuses what is more than types. */
function refuse(source, tokens) {
  const text = (token) => (token ? source.slice(token.start, token.end) : "");
  for (let index = 0; index < tokens.length; index++) {
    const token = tokens[index];
    const next = tokens[index + 1];
    const fail = (what) => {
      throw new Unreadable(what, token.start);
    };
    if (token.type === tt.at) fail("decorators are not supported in scripts");
    if (token.type === tt._import && next?.type === tt.name && tokens[index + 2]?.type === tt.eq) {
      fail('import = is not supported in scripts: write import x from "./x.js"');
    }
    if (token.type === tt._export && next?.type === tt.eq) fail("export = is not supported in scripts: write export default");
    if (!token.isType) continue;
    if (text(token) === "declare") index = endOfDeclared(tokens, index);
    else if (isNamespace(text(token), next)) {
      fail(`a ${text(token)} is more than types, so it is not supported in scripts: use a file of its own`);
    }
  }
}

const isNamespace = (text, next) => (text === "namespace" || text === "module") && next?.type === tt.name && next.isType;

/** What is declared holds no code, whatever it looks like. */
function endOfDeclared(tokens, index) {
  let depth = 0;
  for (let at = index + 1; at < tokens.length && tokens[at].isType; at++) {
    if (tokens[at].type === tt.braceL) depth++;
    if (tokens[at].type === tt.braceR && --depth === 0) return at;
  }
  return index;
}
