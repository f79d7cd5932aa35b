//! `sangre node`: from nothing to a node that answers, in each language and of each kind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::server::PROGRAM;

/// A first build fetches and compiles what a node depends on.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a command printed, and whether it succeeded.
struct Said {
    good: bool,
    out: String,
    err: String,
}

/// A folder in which commands are typed.
struct Folder {
    path: PathBuf,
    _ends: Option<TempDir>,
}

impl Folder {
    fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("sangre-test-nodes-").tempdir()?;
        Ok(Folder { path: folder.path().to_owned(), _ends: Some(folder) })
    }

    /// One that is where it was the last time, and empty: cargo knows a crate by its place.
    fn again(name: &str) -> Result<Self> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        Ok(Folder { path, _ends: None })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        fs::create_dir_all(path.parent().context("in the folder")?)?;
        Ok(fs::write(path, text)?)
    }

    /// Types `sangre node ARGUMENTS`, apart at single spaces; `'` and `"` mean nothing.
    async fn node(&self, line: &str) -> Result<Said> {
        self.node_with(line, &[]).await
    }

    /// The same with these variables.
    async fn node_with(&self, line: &str, environment: &[(&str, &str)]) -> Result<Said> {
        let mut command = Command::new(PROGRAM);
        command.arg("node").args(line.split(' ')).current_dir(&self.path);
        command.env("NO_COLOR", "1").env("SANGRE_LOG", "warn").envs(environment.iter().copied());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await.with_context(|| format!("{line} goes on"))??;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Said { good: output.status.success(), out: text(output.stdout), err: text(output.stderr) })
    }

    /// The same, and it has to succeed; what it prints.
    async fn good(&self, line: &str) -> Result<String> {
        let said = self.node(line).await?;
        ensure!(said.good, "{line}: {}{}", said.out, said.err);
        Ok(said.out)
    }

    /// The same, and it has to fail; what it says of that.
    async fn bad(&self, line: &str) -> Result<String> {
        let said = self.node(line).await?;
        ensure!(!said.good, "{line} succeeds: {}", said.out);
        Ok(said.err)
    }
}

/// The kinds, what a template's test is given, and what it answers in every language.
const KINDS: [(&str, &str, &str); 3] = [
    ("filter", r#" --args {"hour":12}"#, "true\nfalse\nfalse\n"),
    ("map", "", "8\n9\n6\n"),
    ("reduce", "", "{\"count\":2,\"best\":4.5}\n{\"count\":1,\"best\":4.9}\n{\"count\":0,\"best\":0}\n"),
];

#[tokio::test]
async fn a_new_script_works_as_it_is() -> Result<()> {
    let folder = Folder::new()?;
    // By its short name, which the help tells.
    assert!(folder.good("new --help").await?.contains("Or in short: rs, js, ts, py"));
    for (language, ending) in [("js", "js"), ("ts", "ts"), ("py", "py")] {
        for (kind, args, answers) in KINDS {
            let name = format!("{kind}_{ending}");
            let file = format!("{name}/{name}.{ending}");
            let said = folder.good(&format!("new {name} --lang {language} --kind {kind}")).await?;
            assert!(said.contains(&format!("sangre node test {file} --rows {name}/rows.json")), "{said}");
            let said = folder.node(&format!("test {file} --rows {name}/rows.json{args}")).await?;
            assert!(said.good && said.out == answers, "{}{}", said.out, said.err);
            assert!(said.err.contains("3 rows, 0 errors\ncost ") && said.err.contains("\npure "), "{}", said.err);
            let said = folder.good(&format!("inspect {file}")).await?;
            assert!(said.contains(&format!("kind       {kind}: ")), "{said}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_overwritten() -> Result<()> {
    let folder = Folder::new()?;
    folder.write("mine/rows.json", "[]")?;
    let said = folder.bad("new mine --lang javascript --kind map").await?;
    assert!(said.contains("mine/rows.json exists already: nothing was written"), "{said}");
    assert_eq!(fs::read_to_string(folder.path("mine/rows.json"))?, "[]");
    assert!(!folder.path("mine/mine.js").exists());
    Ok(())
}

/// As JSON, since languages write 0 and 0.0 differently.
fn values(lines: &str) -> Result<Vec<serde_json::Value>> {
    let number = |value: serde_json::Value| match value.as_f64() {
        Some(number) => number.into(),
        None => value,
    };
    let plain = |line: &str| -> Result<serde_json::Value> {
        let mut value = serde_json::from_str(line)?;
        if let serde_json::Value::Object(members) = &mut value {
            members.values_mut().for_each(|member| *member = number(member.take()));
        }
        Ok(number(value))
    };
    lines.lines().map(plain).collect()
}

#[tokio::test]
async fn a_new_crate_brings_all_it_is_built_from() -> Result<()> {
    let folder = Folder::again("node-crates")?;
    // What they depend on is what the examples do, in the same versions, so that it is compiled once for all.
    let examples = fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples"))?;
    let (target, lock) = (examples.join("target"), examples.join("Cargo.lock"));
    fs::create_dir_all(&target)?;
    for (kind, args, answers) in KINDS {
        let name = format!("{kind}-crate");
        folder.good(&format!("new {name} --lang rust --kind {kind}")).await?;
        std::os::unix::fs::symlink(&target, folder.path(&name).join("target"))?;
        fs::copy(&lock, folder.path(&name).join("Cargo.lock"))?;
        let said = folder.good(&format!("test {name} --rows {name}/rows.json{args}")).await?;
        assert_eq!(values(&said)?, values(answers)?);
    }
    assert_eq!(folder.good("build map-crate").await?, "map-crate/map-crate.wasm\n");
    let said = folder.good("inspect map-crate/map-crate.wasm").await?;
    assert!(said.contains("kind       map: transform(row, args)\ninterface  sangre:node/map-rows@0.1.0\n"), "{said}");
    let said = folder.bad("build map-crate -o other.wasm --kind filter").await?;
    assert!(said.contains("it is a map, not a filter") && !folder.path("other.wasm").exists(), "{said}");
    for (source, expected) in [
        ("", &["map-crate: no function is a node: write #[sangre_node::keep], #[sangre_node::transform]"][..]),
        (
            "#[sangre_node::map]\nfn f(x: u8, _: Args) -> u8 { x }",
            &["error: the function of a map is marked #[sangre_node::transform]\n --> map-crate/src/lib.rs:2:1\n"],
        ),
        (
            "#[sangre_node::keep]\nfn f(x: u8, _: Args) { x; }",
            &["error: a filter answers true or false: write -> bool\n --> map-crate/src/lib.rs:3:4\n"],
        ),
        (
            "#[sangre_node::keep]\nfn f(x: u8, _: Args) -> Result<u8, String> { Ok(x) }",
            &["error[E0277]: a filter answers true or false: write -> bool\n", " --> map-crate/src/lib.rs:3:25\n"],
        ),
        (
            "#[sangre_node::transform]\nfn f(x: u8, _: Args) { x; }",
            &["error: a node answers what it returns: write -> and its type", "\n --> map-crate/src/lib.rs:3:4\n"],
        ),
        // In the compiler's own words, with what it advises.
        (
            "#[sangre_node::transform]\nfn f(x: u8, _: Args) -> u8 { x; }",
            &["help: remove this semicolon to return this value", "the program cargo failed, for what it says above"],
        ),
    ] {
        folder.write("map-crate/src/lib.rs", &format!("pub use sangre_node::Args;\n{source}"))?;
        let said = folder.bad("build map-crate").await?;
        assert!(expected.iter().all(|expected| said.contains(expected)), "{said}");
    }
    folder.write(
        "map-crate/src/lib.rs",
        "type Kept = Result<bool, String>;\n#[sangre_node::keep]\nfn f(x: u8, unused: sangre_node::Args) -> Kept { Ok(x > 1) }",
    )?;
    let said = folder.node("build map-crate -o keep.wasm --kind filter").await?;
    assert!(said.good && said.out == "keep.wasm\n", "{}", said.err);
    assert!(said.err.contains("warning: unused variable: `unused`\n --> map-crate/src/lib.rs:3:13\n"), "{}", said.err);
    assert!(said.err.contains("help: if this is intentional"), "{}", said.err);
    // The one that is there stays when the next cannot be built.
    folder.write("map-crate/src/lib.rs", "fn main( {")?;
    let before = fs::read(folder.path("map-crate/map-crate.wasm"))?;
    let said = folder.bad("build map-crate").await?;
    assert!(said.contains("src/lib.rs:1:"), "{said}");
    assert!(fs::read(folder.path("map-crate/map-crate.wasm"))? == before);
    Ok(())
}

#[tokio::test]
async fn modules_become_components() -> Result<()> {
    let folder = Folder::new()?;
    for (language, (kind, args, answers)) in
        [("javascript", KINDS[0]), ("typescript", KINDS[1]), ("javascript", KINDS[2])]
    {
        folder.good(&format!("new {kind}s --lang {language} --kind {kind}")).await?;
        assert_eq!(folder.good(&format!("build {kind}s -o {kind}.wasm")).await?, format!("{kind}.wasm\n"));
        let said = folder.good(&format!("test {kind}.wasm --rows {kind}s/rows.json{args}")).await?;
        assert_eq!(said, answers, "{kind}");
        let said = folder.good(&format!("inspect {kind}.wasm")).await?;
        assert!(said.contains(&format!("kind       {kind}: ")), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_package_is_bundled_and_errors_have_their_own_places() -> Result<()> {
    let folder = Folder::new()?;
    folder.write("node_modules/pad/package.json", r#"{ "name": "pad", "type": "module", "main": "pad.js" }"#)?;
    folder.write("node_modules/pad/pad.js", "export default (text) => {\n  return `<${text.trim()}>`;\n};\n")?;
    folder.write(
        "lib/check.ts",
        "export const check = (id: number): void => {\n  if (id === 2) throw new RangeError('two');\n};\n",
    )?;
    folder.write(
        "score.ts",
        "import pad from 'pad';\nimport { check } from './lib/check';\n\ninterface Row { id: number; name: any }\n\n\
         console.log('while it is built');\n\nexport default function (row: Row): string {\n  check(row.id);\n  return row.id === 4 ? undefined : pad(row.name);\n}\n",
    )?;
    folder.write(
        "rows.json",
        r#"[{ "id": 1, "name": " a " }, { "id": 2, "name": "b" }, { "id": 3, "name": 3 }, { "id": 4 }, { "id": 9007199254740993 }]"#,
    )?;
    let said = folder.bad("build score.ts").await?;
    assert!(said.contains("score.ts: error: has only a default export: say --kind"), "{said}");
    folder.good("build score.ts --kind map").await?;
    let said = folder.node("test score.wasm --rows rows.json").await?;
    assert!(!said.good, "four rows fail");
    assert_eq!(said.out, "\"<a>\"\n\n\n\n\n");
    assert!(said.err.contains("row 1: lib/check.ts:2: RangeError: two, called at score.ts:9\n"), "{}", said.err);
    assert!(said.err.contains("row 2: node_modules/pad/pad.js:2: TypeError: "), "{}", said.err);
    assert!(said.err.contains("row 3: score.ts:8: transform answered undefined: missing return"), "{}", said.err);
    let expected = "row 4: score.ts:9: row.id is 9007199254740993, which a number in JavaScript cannot hold: write numbers: string";
    assert!(said.err.contains(expected), "{}", said.err);
    assert!(said.err.contains("map 5 rows, 4 errors\n"), "{}", said.err);

    // As a terminal finds them.
    folder.write("bad/bad.js", "import fs from 'fs';\nimport x from 'absent';\nexport const keep = () => true;\n")?;
    let said = folder.bad("build bad").await?;
    assert!(
        said.starts_with("error: bad/bad.js:1: error: Could not resolve \"fs\": it is a part of Node.js"),
        "{said}"
    );
    assert!(said.contains("\nbad/bad.js:2: error: Could not resolve \"absent\": run npm install absent"), "{said}");
    folder.write("bad.js", "export const keep = () => true;\n\nexport const day = Date.now();\n")?;
    let said = folder.bad("build bad.js").await?;
    let expected =
        "error: bad.js:3: error: Error: Date.now(): there is no clock while the file is loaded: read it inside";
    assert!(said.starts_with(expected), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_package_that_cannot_be_loaded_is_named() -> Result<()> {
    let folder = Folder::new()?;
    let main = "export const random = Math.random();\n";
    for (name, source) in [
        ("@its/dice", main),
        ("lodash", "\nconst now = () => Date.now();\nexport const since = now();\n"),
        ("through", "export * from 'lodash';\n"),
        ("nodes", "export const home = process.env.HOME;\n"),
    ] {
        let package = format!(r#"{{ "name": "{name}", "type": "module", "main": "main.js" }}"#);
        folder.write(&format!("n/node_modules/{name}/package.json"), &package)?;
        folder.write(&format!("n/node_modules/{name}/main.js"), source)?;
    }
    for (imports, expected) in [
        (
            "import {\n  since,\n} from \"lodash\";",
            "n/lib/x.js:4: error: the package lodash calls Date.now() while it is loaded (node_modules/lodash/main.js:2), which no node may do: take lodash-es",
        ),
        (
            "import 'through';",
            "n/lib/x.js:2: error: the package lodash calls Date.now() while it is loaded (node_modules/lodash/main.js:2), which no node may do",
        ),
        (
            "export * from '@its/dice';",
            "n/lib/x.js:2: error: the package @its/dice calls Math.random() while it is loaded (node_modules/@its/dice/main.js:1), which no node may do: take a package that does not",
        ),
        (
            "import 'nodes';",
            "n/lib/x.js:2: error: the package nodes fails while it is loaded (node_modules/nodes/main.js:1): Error: process is not defined",
        ),
    ] {
        folder.write("n/lib/x.js", &format!("\n{imports}\n"))?;
        folder.write("n/n.js", "import './lib/x.js';\nexport const keep = () => true;\n")?;
        let said = folder.bad("build n/n.js").await?;
        assert!(said.contains(expected), "{imports}: {said}");
    }
    Ok(())
}

/// One build for all of it, since each takes ten seconds and more.
#[tokio::test]
async fn a_module_in_python_becomes_a_component() -> Result<()> {
    let folder = Folder::new()?;
    let packages = ".venv/lib/python3.11/site-packages";
    folder.write(
        &format!("{packages}/pad/__init__.py"),
        "import time\ndef pad(text):\n    return f'<{text.strip()}>'\ndef now():\n    return time.time()\n",
    )?;
    folder.write(
        &format!("{packages}/requests.py"),
        "import socket\ndef get(url):\n    return socket.create_connection((url, 80))\n",
    )?;
    folder.write("helper.py", "from pad import pad\n\n\ndef named(row):\n    return pad(row['name'])\n")?;
    folder.write(
        "names.py",
        "import pad, requests, tomllib\nfrom .helper import named\n\nprint('while it is built')\nSTART = tomllib.loads('at = 1')['at']\n\n\n\
         def reduce(rows, args):\n    if len(rows) == 3:\n        return rows[3]\n    if len(rows) == 4:\n        return {1}\n    if len(rows) == 5:\n        return args['by']\n    if len(rows) == 6:\n        return pad.now()\n    if len(rows) == 7:\n        return requests.get('example.com')\n    if len(rows) == 8:\n        return rows[0]\n    return [START, *map(named, rows)]\n",
    )?;
    folder.write("rows.json", r#"[[{ "name": " a " }], [], [1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7], [0.1234567890123456789, 2, 3, 4, 5, 6, 7, 8]]"#)?;
    assert_eq!(folder.good("build names.py -o n.wasm --kind reduce").await?, "n.wasm\n");
    let said = folder.node("test n.wasm --rows rows.json").await?;
    assert!(!said.good, "five rows fail");
    assert_eq!(said.out, "[1,\"<a>\"]\n[1]\n\n\n\n\n\n0.1234567890123456789\n");
    for expected in [
        "row 2: names.py:10: IndexError: list index out of range",
        "row 3: names.py:8: reduce answered a set: use sorted(...)",
        "row 4: names.py:14: KeyError: 'by' (args have no fields)",
        "declare every: to read the clock (the package pad calls time.time() (pad/__init__.py:5))",
        "(requests.py:3)",
        "a node reaches no network: fetch before, and store it in a table",
    ] {
        assert!(said.err.contains(expected), "{}", said.err);
    }
    assert!(said.err.contains("\npure "), "{}", said.err);
    let said = folder.good("inspect n.wasm").await?;
    assert!(
        said.contains("kind       reduce: reduce(rows, args)\ninterface  sangre:node/reduce-lists@0.1.0\n"),
        "{said}"
    );
    for (source, expected) in [
        ("def keep(row, args:\n", " bad/bad.py:1: error: '(' was never closed"),
        ("x = 1\n", " bad/bad.py: error: defines no node: write def keep(row, args)"),
        (
            "def keep(row, args): pass\ndef reduce(rows, args): pass\n",
            " bad/bad.py: error: defines keep and reduce: a node is one",
        ),
    ] {
        folder.write("bad/bad.py", source)?;
        let said = folder.bad("build bad/bad.py").await?;
        assert!(said.contains(expected), "{said}");
    }
    let packages = "bad/.venv/lib/python3.11/site-packages";
    folder.write(&format!("{packages}/dice/__init__.py"), "from . import cup\n")?;
    folder.write(&format!("{packages}/dice/cup.py"), "import random\n\nSIDE = random.random()\n")?;
    folder.write(&format!("{packages}/torn.py"), "x = y\n")?;
    folder.write("bad/uses.py", "from torn import x\n")?;
    for (statement, expected) in [
        (
            "import dice",
            " bad/bad.py:2: error: the package dice calls random.random() while it is loaded (dice/cup.py:3), which no node may do: take",
        ),
        (
            "from .uses import x",
            " bad/bad.py:2: error: the package torn fails while it is loaded (torn.py:1): NameError: name 'y'",
        ),
        (
            "import time; AT = time.time()",
            " bad/bad.py:2: error: RuntimeError: time.time(): there is no clock while the file is loaded: read it inside",
        ),
    ] {
        folder.write("bad/bad.py", &format!("\n{statement}\n\n\ndef keep(row, args):\n    return True\n"))?;
        let said = folder.bad("build bad/bad.py").await?;
        assert!(said.contains(expected), "{said}");
    }
    Ok(())
}

/// Closed pipes: whoever reads has had enough.
#[tokio::test]
async fn what_nobody_reads_any_more_is_no_reason_to_go_on() -> Result<()> {
    let folder = Folder::new()?;
    folder.write("rows.json", "[1]")?;
    folder.write("loads.py", "while True: print('x')\n")?;
    folder.write("answers.py", "def transform(row, args):\n    while row: print('x')\n    return 1\n")?;
    folder.write("once.py", "print('x')\n\n\ndef transform(row, args): return 1\n")?;
    for (line, read) in [
        ("test loads.py --rows rows.json", 2),
        ("test answers.py --rows rows.json", 2),
        ("test once.py --rows rows.json", 0),
        ("inspect once.py", 0),
    ] {
        let mut command = Command::new(PROGRAM);
        command.arg("node").args(line.split(' ')).current_dir(&folder.path).env("SANGRE_LOG", "info");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        drop(child.stdout.take());
        let mut said = BufReader::new(child.stderr.take().context("piped")?).lines();
        for _ in 0..read {
            said.next_line().await?.context("it prints without end")?;
        }
        drop(said);
        timeout(PATIENCE, child.wait()).await.with_context(|| format!("{line} goes on"))??;
    }
    Ok(())
}

#[tokio::test]
async fn impurity_is_found() -> Result<()> {
    let folder = Folder::new()?;
    folder.write("rows.json", "[1, 2, 3]")?;
    folder.write("count.js", "let n = 0;\nexport function transform(row) { return ++n; }\n")?;
    let said = folder.node("test count.js --rows rows.json").await?;
    assert!(!said.good);
    assert_eq!(said.out, "1\n2\n3\n");
    assert!(
        said.err.contains("impure: 1 at first, ") && said.err.contains("when asked after other rows"),
        "{}",
        said.err
    );
    // Right in any order, as long as it was asked something before.
    folder.write(
        "first.js",
        "let first = true;\nexport function keep(row) { const was = first; first = false; return was && row === 2; }\n",
    )?;
    let said = folder.bad("test first.js --rows rows.json").await?;
    assert!(said.contains("row 1: impure: false at first, true when asked alone of a new instance"), "{said}");
    Ok(())
}

#[tokio::test]
async fn what_a_node_prints_is_shown_once_for_each_row() -> Result<()> {
    let folder = Folder::new()?;
    folder.write("rows.json", "[1, 2, 3]")?;
    folder.write(
        "print.js",
        "console.log('begins');\nexport function keep(row) { console.log('asked', row); if (row === 2) throw 2; return true; }\n",
    )?;
    let said = folder.node_with("test print.js --rows rows.json", &[("SANGRE_LOG", "info")]).await?;
    for line in ["begins", "asked 1", "asked 2", "asked 3"] {
        assert_eq!(said.err.matches(line).count(), 1, "{}", said.err);
    }
    assert!(said.err.contains("filter 3 rows, 1 error\n") && said.err.contains("\nin all  "), "{}", said.err);
    // What it reads in vain is among that, and no error.
    folder.write("rows.json", r#"[{ "opens": 9 }, { "opens": 10 }]"#)?;
    folder.write("hours.js", "export function keep(place, args) {\n  return place.opns > args.hour;\n}\n")?;
    let said = folder.node("test hours.js --rows rows.json").await?;
    assert!(said.good && said.out == "false\nfalse\n", "{}", said.err);
    for line in [
        "hours.js:2: the row has no field \"opns\": did you mean opens? (it has opens) ",
        "hours.js:2: args have no \"hour\" (they have no fields) ",
    ] {
        assert_eq!(said.err.matches(line).count(), 1, "{}", said.err);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_asked_wrongly_is_said() -> Result<()> {
    let folder = Folder::new()?;
    folder.write(
        "sum.js",
        "export function reduce(rows, args) { if (!rows.length) throw new Error('none'); return rows.length; }\n",
    )?;
    folder.write("lib/bad.js", "export let = 1;")?;
    folder.write("lib/nested/throws.js", "export const thrower = () => { throw new Error('none'); };\n")?;
    folder.write(
        "lib/calls.js",
        "import { thrower } from './nested/throws.js';\nexport const reduce = () => thrower();\n",
    )?;
    folder.write("lib/imports.js", "import './nested/bad.js';\nexport const reduce = () => 1;\n")?;
    folder.write("lib/nested/bad.js", "export let = 1;")?;
    folder.write("lib/none.js", "export const redcue = (rows) => rows.length;")?;
    folder.write("rows.json", r#"[{ "id": 1 }]"#)?;
    folder.write("lists.json", "[[1], []]")?;
    folder.write("torn.json", "[\n  [1],\n]\n")?;
    for (line, expected) in [
        ("test sum.js --rows rows.json", "row 0 is not a list: a reduce answers for lists"),
        ("test sum.js --rows lists.json", "row 1: sum.js:1: Error: none\n"),
        ("test sum.js --rows lists.json --args [1]", "--args is not a JSON object"),
        (
            "test sum.js --rows lists.json --kind map",
            "is a reduce, but is used as a map: use it as a reduce, or export transform instead",
        ),
        ("test sum.js --rows absent.json", "cannot read absent.json"),
        ("test sum.js --rows sum.js", "error: sum.js:1:1: not JSON: "),
        ("test sum.js --rows torn.json", "error: torn.json:3:1: not JSON: "),
        ("test sum.js --rows lists.json --args {\"a\":}", "error: --args is not JSON: "),
        ("inspect lists.json", "error: lists.json is not a script this server runs"),
        // As a terminal finds them.
        ("test lib/calls.js --rows lists.json", "row 0: lib/nested/throws.js:1: Error: none, called at calls.js:2\n"),
        ("test lib/imports.js --rows lists.json", "error: lib/nested/bad.js:1:8: SyntaxError"),
        ("test lib/bad.js --rows lists.json", "error: lib/bad.js:1:8: SyntaxError"),
        ("test lib/none.js --rows lists.json", "error: lib/none.js exports no node, but redcue: export"),
        ("test lib/absent.js --rows lists.json", "error: lib/absent.js does not exist"),
        ("build lists.json", "lists.json is no source of a node"),
        ("build absent", "cannot read absent"),
    ] {
        let said = folder.bad(line).await?;
        assert!(said.contains(expected), "{line}: {said}");
    }
    folder.write("text.wasm", "no component")?;
    let said = folder.bad("inspect text.wasm").await?;
    assert!(said.contains("text.wasm: not a WebAssembly component"), "{said}");
    Ok(())
}

#[tokio::test]
async fn what_a_configuration_would_say_can_be_said() -> Result<()> {
    let folder = Folder::new()?;
    folder.write("rows.json", r#"[{ "id": 12345678901234567890 }, { "id": 1 }]"#)?;
    folder.write("now.js", "export const transform = () => Date.now() > 1.7e12 && Math.random() < 1;\n")?;
    let said = folder.bad("test now.js --rows rows.json").await?;
    assert!(said.contains("declare every:"), "{said}");
    // All in one tick, so it is as pure as any.
    assert_eq!(folder.good("test now.js --rows rows.json --every 3s").await?, "true\ntrue\n");
    folder.write("kind.js", "export const transform = (row) => `${typeof row.id} ${row.id}`;\n")?;
    let said = folder.good("test kind.js --rows rows.json --numbers string").await?;
    assert_eq!(said, "\"string 12345678901234567890\"\n\"string 1\"\n");
    let said = folder.node("test kind.js --rows rows.json").await?;
    assert_eq!((said.good, said.out.lines().last()), (false, Some("\"number 1\"")), "{}", said.err);
    assert!(said.err.contains("row 0: kind.js:1: row.id is 12345678901234567890, which a number in"), "{}", said.err);
    folder.write("spin.js", "export const transform = () => { for (;;); };\n")?;
    let said = folder.bad("test spin.js --rows rows.json --deadline 40ms").await?;
    assert!(said.contains("row 0: took longer than its deadline of 40 ms (`deadline:` sets it)"), "{said}");
    folder.write("big.js", "export const transform = () => 'x'.repeat(20_000_000).length;\n")?;
    let said = folder.bad("test big.js --rows rows.json --memory 16MiB").await?;
    assert!(said.contains("row 0: "), "{said}");
    assert_eq!(folder.good("test big.js --rows rows.json --memory 1GiB --deadline 10s").await?, "20000000\n20000000\n");
    for (flag, expected) in [
        ("--deadline 0ms", "0ms is too little: it takes 1ms to 1h"),
        ("--memory 64", "expected a number with its unit, such as 64MiB, from 1B to 4GiB"),
        ("--every 5ms", "5ms is too little: it takes 100ms to 8784h"),
        ("--numbers text", "[possible values: string]"),
    ] {
        let said = folder.bad(&format!("test kind.js --rows rows.json {flag}")).await?;
        assert!(said.contains(expected), "{flag}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_toolchain_is_named() -> Result<()> {
    let folder = Folder::new()?;
    folder.good("new crate --lang rust --kind map").await?;
    folder.write("node.js", "export const keep = () => true;\n")?;
    folder.write("node.py", "def keep(row, args):\n    return True\n")?;
    folder.write("rows.json", "[1]")?;
    let cache = folder.path("cache");
    let environment = [("PATH", ""), ("SANGRE_CACHE", cache.to_str().context("text")?)];
    for (line, expected) in [
        ("build crate", "building a Rust node needs the program cargo, which was not found in PATH: install Rust"),
        (
            "build node.js",
            "building a JavaScript node needs the program node, which was not found in PATH: install Node.js 20",
        ),
        (
            "build node.py",
            "building a Python node needs the program python3, which was not found in PATH: install Python 3.10",
        ),
        (
            "test node.js --rows rows.json",
            "building the JavaScript runtime needs the program node, which was not found in PATH",
        ),
    ] {
        let said = folder.node_with(line, &environment).await?;
        assert!(!said.good && said.err.contains(expected), "{line}: {}", said.err);
        assert_eq!(said.err.trim_end().lines().count(), 1, "{}", said.err);
    }
    Ok(())
}
