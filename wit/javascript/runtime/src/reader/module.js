// From an ES module to an expression that the runtime can evaluate.
//
// The engine's own loader of modules is gone when the component is built. So a module becomes an object that says what it
// imports and exports, with its code as a function, line for line and mostly column for column:
//
//   ({imports:[...],exports:[...],changing:[...],stars:[...],$run($sangre,$imports){with($imports){return(function(){"use strict";...})()}}})
//
// Imported names are properties of `$imports`, so they are the exporter's variables themselves and not copies; functions called by
// such a name get no `this`, as in a module. A file that imports nothing has no `with`, and costs nothing for it. The exports are
// getters, made before the code runs; `changing` names those that may change when all has run, so that others become plain values.

import { parse } from "acorn";
import { Unreadable, unreadable } from "./unreadable.js";

/** The expression for `source`, and what it imports: `{ from, line }`. */
export function rewrite(source) {
  const program = parsed(source);
  const module = { imports: [], exports: [], stars: [], members: [], edits: [], locals: new Set(), assigned: new Set() };
  for (const statement of program.body) STATEMENTS[statement.type]?.(statement, module, source);
  visit(program, { module, inAsync: false, inFunction: false });
  return { text: wrapped(source, module), imports: module.imports };
}

function parsed(source) {
  const tokens = [];
  try {
    return parse(source, { ecmaVersion: "latest", sourceType: "module", allowHashBang: true, locations: true, onToken: tokens });
  } catch (error) {
    if (typeof error.pos !== "number") throw error;
    const open = error.pos >= source.trimEnd().length ? openBracket(tokens) : undefined;
    if (open) throw new Unreadable(`${open.type.label} is never closed`, open.start);
    throw unreadable(error, source);
  }
}

/** The innermost bracket that is still open after `tokens`. */
function openBracket(tokens) {
  const open = [];
  for (const token of tokens) {
    if (["{", "(", "[", "${"].includes(token.type.label)) open.push(token);
    else if (["}", ")", "]"].includes(token.type.label)) open.pop();
  }
  return open.at(-1);
}

const STATEMENTS = {
  ImportDeclaration(statement, module) {
    const names = statement.specifiers.map(({ type, imported, local }) => {
      module.locals.add(local.name);
      if (type === "ImportNamespaceSpecifier") return [local.name];
      return [local.name, type === "ImportDefaultSpecifier" ? "default" : nameOf(imported)];
    });
    imports(module, statement, names);
    drop(module, statement);
  },

  ExportNamedDeclaration(statement, module) {
    if (statement.declaration) {
      const { declaration } = statement;
      const declared = declaration.id ? [declaration.id] : declaration.declarations.map(({ id }) => id);
      for (const name of declared.flatMap(namesOf)) exportAs(module, name, name);
      module.edits.push([statement.start, declaration.start, ""]);
      return;
    }
    if (statement.source) {
      const names = statement.specifiers.map(({ local, exported }) => {
        const hidden = `$${module.imports.length}${nameOf(local)}`;
        exportAs(module, nameOf(exported), `$imports[${JSON.stringify(hidden)}]`, null);
        return [hidden, nameOf(local)];
      });
      imports(module, statement, names);
    } else {
      for (const { local, exported } of statement.specifiers) exportAs(module, nameOf(exported), local.name);
    }
    drop(module, statement);
  },

  ExportDefaultDeclaration(statement, module, source) {
    const { declaration } = statement;
    if (declaration.type.endsWith("Declaration") && declaration.id) {
      exportAs(module, "default", declaration.id.name);
      module.edits.push([statement.start, declaration.start, ""]);
      return;
    }
    exportAs(module, "default", "$sangre.d");
    module.edits.push([statement.start, declaration.start, "$sangre.d="]);
    // An unnamed function ends its statement, an expression does not.
    if (source[statement.end - 1] !== ";") module.edits.push([statement.end, statement.end, ";"]);
  },

  ExportAllDeclaration(statement, module) {
    if (statement.exported) {
      const hidden = `$${module.imports.length}`;
      exportAs(module, nameOf(statement.exported), `$imports[${JSON.stringify(hidden)}]`, null);
      imports(module, statement, [[hidden]]);
    } else {
      module.stars.push(module.imports.length);
      imports(module, statement, []);
    }
    drop(module, statement);
  },
};

const nameOf = (node) => node.name ?? node.value;

/** Notes one statement that imports: `names` are pairs of the name here and the name there; without the latter, the whole. */
function imports(module, { source, loc, attributes }, names) {
  if (attributes?.length > 0) throw new Unreadable("import attributes are not supported in scripts", attributes[0].start);
  module.imports.push({ from: source.value, line: loc.start.line, names });
}

/** `local` is the variable behind it; null: one of another file. */
function exportAs(module, name, expression, local = expression) {
  module.exports.push({ name, local });
  module.members.push(`get ${JSON.stringify(name)}(){return ${expression};}`);
}

/** A statement that is gone still ends the one before it. */
function drop({ edits }, { start, end }) {
  edits.push([start, end, ";"]);
}

/** The names that a pattern binds. */
function namesOf(pattern) {
  switch (pattern?.type) {
    case "Identifier":
      return [pattern.name];
    case "ObjectPattern":
      return pattern.properties.flatMap((property) => namesOf(property.value ?? property.argument));
    case "ArrayPattern":
      return pattern.elements.flatMap(namesOf);
    case "AssignmentPattern":
      return namesOf(pattern.left);
    case "RestElement":
      return namesOf(pattern.argument);
    default:
      return [];
  }
}

/** Refuses what a script cannot do, and takes `this` from functions called by an imported name. */
function visit(node, scope) {
  if (!node || typeof node.type !== "string") return;
  const { module } = scope;
  let within = scope;
  switch (node.type) {
    case "ImportExpression":
      throw new Unreadable("import() is not supported in scripts: write an import statement at the top", node.start);
    case "MetaProperty":
      if (node.meta.name === "import") throw new Unreadable("import.meta is not there: a node sees its row and args alone", node.start);
      break;
    case "AwaitExpression":
      if (!scope.inFunction) throw new Unreadable("await outside of a function: a node cannot wait", node.start);
      break;
    case "FunctionDeclaration":
    case "FunctionExpression":
    case "ArrowFunctionExpression":
      within = { module, inFunction: true };
      break;
    case "AssignmentExpression":
    case "ForInStatement":
    case "ForOfStatement":
      namesOf(node.left).forEach((name) => module.assigned.add(name));
      if (node.await && !scope.inFunction) throw new Unreadable("await outside of a function: a node cannot wait", node.start);
      break;
    case "UpdateExpression":
      namesOf(node.argument).forEach((name) => module.assigned.add(name));
      break;
    case "CallExpression":
      takeThis(node.callee, module);
      break;
    case "TaggedTemplateExpression":
      takeThis(node.tag, module);
      break;
  }
  for (const key in node) {
    const inner = key === "loc" ? null : node[key];
    if (Array.isArray(inner)) for (const one of inner) visit(one, within);
    else if (inner && typeof inner === "object") visit(inner, within);
  }
}

function takeThis(callee, { locals, edits }) {
  if (callee.type === "Identifier" && locals.has(callee.name)) edits.push([callee.start, callee.end, `(0,${callee.name})`]);
}

function wrapped(source, module) {
  const pieces = [];
  let copied = 0;
  for (const [start, end, text] of module.edits.sort((a, b) => a[0] - b[0])) {
    const gap = source.slice(start, end).replace(/[^\r\n]/g, " ");
    // What was there keeps its width and its ends of lines, as far as the new text is not longer.
    const fits = gap.slice(0, text.length).trim() === "" && !/[\r\n]/.test(gap.slice(0, text.length));
    pieces.push(source.slice(copied, start), text, fits ? gap.slice(text.length) : gap);
    copied = end;
  }
  pieces.push(source.slice(copied));
  const body = pieces.join("").replace(/^#!/, "//");
  const { imports, stars, members, locals, assigned } = module;
  const exports = module.exports.map(({ name }) => name);
  const mayChange = ({ local }) => local === null || locals.has(local) || assigned.has(local);
  const changing = module.exports.filter(mayChange).map(({ name }) => name);
  const head = `({imports:${JSON.stringify(imports)},exports:${JSON.stringify(exports)},changing:${JSON.stringify(changing)},stars:${JSON.stringify(stars)},$run($sangre,$imports){`;
  const code = `(function(){"use strict";$sangre.exports({${members.join(",")}});${body}\n})()`;
  return `${head}${imports.length > 0 ? `with($imports){${code}}` : code}}})`;
}
