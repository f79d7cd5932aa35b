// Builds a component of a node in JavaScript or TypeScript: node build.mjs INPUT OUTPUT [KIND]
//
// The module is bundled with what it imports (packages from its own node_modules, pure ECMAScript only), the glue is put
// around it, and QuickJS underneath. On success the kind is printed; what is wrong goes to stderr, a line for each place.

import { writeFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { basename, dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { componentize } from "componentize-qjs";
import { build } from "esbuild";
import { importOf, packageOf, thrownBy } from "./packages.mjs";

const KINDS = {
  filter: { function: "keep", interface: "filterRows" },
  map: { function: "transform", interface: "mapRows" },
  reduce: { function: "reduce", interface: "reduceLists" },
};

const here = dirname(fileURLToPath(import.meta.url));
const [input, output, wanted] = process.argv.slice(2);
const source = resolve(input);
const folder = dirname(source);
const fileName = basename(source);

const settings = {
  bundle: true,
  format: "esm",
  platform: "neutral",
  target: "es2023",
  mainFields: ["module", "main"],
  conditions: ["module"],
  external: ["sangre:*"],
  absWorkingDir: folder,
  outdir: folder,
  write: false,
  logLevel: "silent",
};

function fail(lines) {
  process.stderr.write(`${lines}\n`);
  process.exit(1);
}

/** Bundles, or says where the source is wrong. */
async function bundle(more) {
  try {
    return await build({ ...settings, ...more });
  } catch (error) {
    if (!error.errors?.length) throw error;
    const line = ({ text, location }) => `${location ? `${location.file}:${location.line}` : fileName}: error: ${text}${advice(text)}`;
    return fail(error.errors.map(line).join("\n"));
  }
}

function advice(text) {
  const name = /^Could not resolve "(?:node:)?([^"/]+)/.exec(text)?.[1];
  if (name === undefined) return "";
  if (builtinModules.includes(name)) return ": it is a part of Node.js, and a node has no files, network or system";
  return name.startsWith(".") ? "" : `: run npm install ${name}`;
}

/** What is exported, and by that the kind. */
async function kindOf() {
  const { metafile } = await bundle({ entryPoints: [source], metafile: true });
  const exported = Object.values(metafile.outputs).find((output) => output.entryPoint)?.exports ?? [];
  const found = Object.keys(KINDS).filter((kind) => exported.includes(KINDS[kind].function));
  const named = found.map((kind) => KINDS[kind].function);
  if (found.length > 1) fail(`${fileName}: error: exports ${named.join(" and ")}: a node is one of them`);
  const [kind] = found;
  if (kind && wanted && kind !== wanted) fail(`${fileName}: error: exports ${named[0]}, so it is a ${kind}, not a ${wanted}`);
  if (kind) return { kind, exported: named[0] };
  if (!exported.includes("default")) {
    const but = exported.length > 0 ? `, but ${exported.slice(0, 3).join(", ")}${exported.length > 3 ? ", ..." : ""}` : "";
    fail(`${fileName}: error: exports no node${but}: export function keep(row, args), transform(row, args) or reduce(rows, args)`);
  }
  if (!wanted) {
    fail(`${fileName}: error: has only a default export: say --kind filter, map or reduce, or export the function by its name`);
  }
  return { kind: wanted, exported: "default" };
}

/** By line of the bundle, the author's file and line it comes from: [file, line], or nothing for the glue's own. */
function places({ sources, mappings }) {
  const ours = (path) => !relative(resolve(here, ".."), resolve(folder, path)).startsWith("..") || path.endsWith("<stdin>");
  const files = sources.map((path) => (ours(path) ? undefined : relative(folder, resolve(folder, path))));
  let [file, line] = [0, 0];
  const found = mappings.split(";").map((group) => {
    let first;
    for (const segment of group.split(",").filter(Boolean)) {
      const [, toFile = 0, toLine = 0] = numbers(segment);
      [file, line] = [file + toFile, line + toLine];
      if (files[file] !== undefined) first ??= [file, line + 1];
    }
    return first ?? [];
  });
  return { files: files.map((name) => name ?? ""), places: found };
}

/** The numbers of a segment of a source map: base 64, five bits each, least first, the sign in the lowest bit. */
function numbers(segment) {
  const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const read = [];
  let [value, shift] = [0, 0];
  for (const char of segment) {
    const digit = DIGITS.indexOf(char);
    value += (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    read.push(value & 1 ? -(value >> 1) : value >> 1);
    [value, shift] = [0, 0];
  }
  return read;
}

const { kind, exported } = await kindOf();
const entry = `
import { answering } from ${JSON.stringify(resolve(here, "glue.js"))};
import * as node from ${JSON.stringify(source)};
export const ${KINDS[kind].interface} = {
  ${KINDS[kind].function}: answering(node[${JSON.stringify(exported)}], ${JSON.stringify(kind)}, ${JSON.stringify(fileName)}),
};
`;
const bundled = await bundle({ stdin: { contents: entry, resolveDir: folder, loader: "js" }, sourcemap: "external", metafile: true });
const text = (ending) => bundled.outputFiles.find((file) => file.path.endsWith(ending)).text;
const lines = places(JSON.parse(text(".map")));
try {
  const { component } = await componentize({
    witPath: resolve(here, "wit"),
    world: `${kind}-node`,
    jsSource: `${text(".js")}\nvar SANGRE_LINES = ${JSON.stringify(lines)};\n`,
    stubWasi: true,
    sync: true,
  });
  writeFileSync(output, component);
} catch (error) {
  fail(evaluating(String(error.message ?? error)));
}
process.stdout.write(`${kind}\n`);

/** What the module's own statements threw while they ran, once and now. */
function evaluating(message) {
  const [, thrown = message.trim()] = /module evaluation: ([^\n]*)/.exec(message) ?? [];
  const at = [...message.matchAll(/:(\d+):\d+\)?$/gm)].map(([, line]) => lines.places[line - 1] ?? []);
  const [file, line] = at.find(([file]) => file !== undefined) ?? [];
  if (file === undefined) return `${fileName}: error: ${thrown}`;
  const [name, place] = [lines.files[file], `${lines.files[file]}:${line}`];
  const of = packageOf(name);
  if (of === undefined) return `${place}: error: ${thrown}`;
  const imported = importOf(name, bundled.metafile.inputs, "<stdin>", folder) ?? fileName;
  return `${imported}: error: ${thrownBy(of, place, thrown)}`;
}
