// Which files an import may mean. The reader tells the server, which finds the first that exists; the runtime finds it again among
// the files it is given.

const EXTENSIONS = ["js", "mjs", "ts", "mts"];

/**
 * The names of the files that `from`, imported by the file `importer`, may mean, the likeliest first. Names count from the script's
 * own folder. A text instead of a list says why it means none.
 */
export function candidates(from, importer) {
  if (!/^\.\.?\//.test(from)) {
    if (from.startsWith("node:") || OF_NODE.has(from.split("/")[0])) {
      return `imports ${JSON.stringify(from)}: it is a part of Node.js, and a node has no files, network or system`;
    }
    return `imports ${JSON.stringify(from)}: a script imports relative files alone, such as "./x.js"; ${OF_PACKAGES}`;
  }
  const parts = importer.split("/").slice(0, -1);
  for (const part of from.split("/")) {
    if (part === "..") {
      if (parts.length === 0) return `imports ${JSON.stringify(from)}, which is outside of the script's own folder`;
      parts.pop();
    } else if (part !== "." && part !== "") parts.push(part);
  }
  const path = parts.join("/");
  const [, stem, extension] = /^(.*?)(?:\.([^./]*))?$/.exec(path);
  if (!EXTENSIONS.includes(extension)) {
    const plain = EXTENSIONS.map((one) => `${path}.${one}`);
    return extension === undefined || !KNOWN.has(extension) ? plain : `imports ${JSON.stringify(from)}: scripts import .js, .mjs, .ts and .mts files`;
  }
  // TypeScript's own way is to import a.ts as a.js.
  const typed = { js: "ts", mjs: "mts" }[extension];
  return typed ? [path, `${stem}.${typed}`] : [path];
}

const OF_PACKAGES = "packages need a component: `sangre node build FILE`, then `component: FILE.wasm` instead of `script:` in sangre.yaml";

// What no package brings, as far as people write it without `node:`.
const OF_NODE = new Set("child_process dns fs http https module net os perf_hooks tls worker_threads".split(" "));

// Files that are certainly no scripts; `./places.v2` is one.
const KNOWN = new Set(["json", "jsx", "tsx", "cjs", "cts", "wasm", "css", "txt", "py", "node"]);
