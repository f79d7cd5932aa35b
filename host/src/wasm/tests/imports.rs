//! Scripts of several files.

use super::*;

impl Bench {
    /// Writes a file beside the node's own.
    fn beside(&self, name: &str, text: &str) {
        let path = self.path.parent().expect("a folder").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }
}

/// A host whose node is the first of these files.
fn script(files: &[(&str, &str)]) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }
    Bench::at(folder, files[0].0, |_| {})
}

async fn refused(files: &[(&str, &str)]) -> String {
    script(files).failed().await
}

#[tokio::test]
async fn every_form_of_import_and_export() {
    let mut bench = script(&[
        (
            "probe.js",
            "import whole, { plus as add, count, bump, Point } from './lib/numbers.js';
import * as numbers from './lib/numbers';
import './lib/effects.mjs';
import typed from './lib/typed.js';
export * from './lib/node.js';
export const used = () => {
  const before = count;
  bump();
  const { plus } = numbers;
  return [whole(1), add(1, 2), before, count, numbers.count, plus(1, 1), new Point(3).x, typed`a`, Object.keys(numbers).join()];
};
",
        ),
        (
            "lib/node.js",
            "import { used } from '../probe.js';
export { deepest } from './deep/est.js';
export * as all from './deep/est.js';
export function transform(row) { return used(); }
",
        ),
        (
            "lib/numbers.js",
            "export let count = 0;
export function bump() { count++; }
export function plus(a, b) { if (this !== undefined) throw new Error('has a this'); return a + b; }
export class Point { constructor(x) { this.x = x; } }
export const { a, b: [c], ...rest } = { a: 1, b: [2], d: 3 }, last = 4;
export default function (x) { return x * 10; }
",
        ),
        ("lib/effects.mjs", "globalThis.effects = 1;"),
        ("lib/typed.ts", "import type { Nothing } from './nowhere.ts';\nexport default (texts: TemplateStringsArray): string => texts[0] + effects;\ndeclare const effects: number;"),
        ("lib/deep/est.js", "export const deepest = 1;"),
    ]);
    let expected = r#"[10,3,0,1,1,2,3,"a1","count,bump,plus,Point,a,c,rest,last,default"]"#;
    assert_eq!(bench.once("1").await.as_deref(), Ok(expected));
}

#[tokio::test]
async fn errors_name_the_file_they_are_in() {
    let import = "import { f } from './lib/f.ts';\nexport const transform = (row) =>\n  f(row);\n";
    let mut bench =
        script(&[("probe.js", import), ("lib/f.ts", "\ntype A = 1;\nexport function f(x: any) { return x.a.b; }")]);
    let expected = "lib/f.ts:3: TypeError: cannot read property 'b' of undefined, called at probe.js:3 (the row has no fields: the query's input: or select: says which)";
    assert_eq!(bench.once("{}").await, Err(expected.into()));
    let reason = refused(&[("probe.js", import), ("lib/f.ts", "\nexport const f = ;")]).await;
    assert_eq!(reason, "lib/f.ts:2:18: SyntaxError: unexpected ';'");
    let reason = refused(&[("probe.js", import), ("lib/f.ts", "export const g = 1;")]).await;
    assert_eq!(reason, "probe.js:1: SyntaxError: ./lib/f.ts exports no f");
    let reason = refused(&[("probe.js", import), ("lib/f.ts", "\n\nexport const f = missing;")]).await;
    assert_eq!(reason, "lib/f.ts:3: ReferenceError: missing is not defined");
    let reason = refused(&[("probe.js", "\nimport './lib/none.js';")]).await;
    assert!(reason.starts_with("probe.js:2: imports \"./lib/none.js\": there is no "), "{reason}");
    assert!(reason.ends_with("lib/none.js"), "{reason}");
}

#[tokio::test]
async fn files_stay_inside_of_the_scripts_folder() {
    let reason = refused(&[("probe.js", "import '../other.js';")]).await;
    assert_eq!(reason, "probe.js:1: imports \"../other.js\", which is outside of the script's own folder");
    let reason = refused(&[("probe.js", "import './lib/a.js';"), ("lib/a.js", "import '../../other.js';")]).await;
    assert_eq!(reason, "lib/a.js:1: imports \"../../other.js\", which is outside of the script's own folder");
    let reason = refused(&[("probe.js", "import '/etc/passwd';")]).await;
    assert!(
        reason.starts_with("probe.js:1: imports \"/etc/passwd\": a script imports relative files alone"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_circle_is_no_harm_until_what_is_not_there_yet_is_used() {
    let a = "import { b } from './b.js';\nexport const a = 1;\nexport const transform = () => b();";
    let mut bench =
        script(&[("probe.js", a), ("b.js", "import { a } from './probe.js';\nexport const b = () => a + 1;")]);
    assert_eq!(bench.once("1").await.as_deref(), Ok("2"));
    let reason = refused(&[("probe.js", a), ("b.js", "import { a } from './probe.js';\nexport const b = a;")]).await;
    assert!(reason.contains("a of probe.js is used before that file has run: they import each other"), "{reason}");
}

#[tokio::test]
async fn all_files_together_have_the_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let (entry, lib) = (folder.path().join("probe.js"), folder.path().join("lib.js"));
    std::fs::write(&entry, "import './lib.js';").expect("written");
    std::fs::write(&lib, " ".repeat(100)).expect("written");
    let mut spec = NodeSpec::new(NODE, "probe", NodeSource::Script(entry));
    spec.limits.size = 117;
    let (_host, mut events) = NodeHost::start(settings(), vec![spec]).expect("starts");
    let Some(NodeEvent::Failed { reason, .. }) = events.recv().await else { panic!("loaded") };
    assert!(reason.ends_with("lib.js has 118 bytes: a node may have 117"), "{reason}");
}

#[tokio::test]
async fn an_edit_of_an_imported_file_is_noticed() {
    let mut bench = script(&[
        ("probe.js", "import { value } from './lib/value.js';\nexport const transform = () => value;"),
        ("lib/value.js", "export const value = 1;"),
    ]);
    let first = bench.loaded().await;
    bench.beside("lib/value.js", "export const value = 2;");
    let second = bench.loaded().await;
    assert_ne!(first, second);
    assert_eq!(bench.ask(second, "{}", &["0"]).await, [Ok("2".into())]);
    assert_eq!(bench.ask(first, "{}", &["0"]).await, [Ok("1".into())]);
    bench.beside("lib/value.js", "export const value = ;");
    assert!(bench.failed().await.starts_with("lib/value.js:1:22: SyntaxError"));
    bench.beside("lib/value.js", "export { value } from './new/value.js';");
    assert!(bench.failed().await.contains("there is no"));
    // In a folder that was not there when it was looked for.
    bench.beside("lib/new/value.js", "export const value = 1;");
    let mut event = bench.event().await;
    while matches!(event, NodeEvent::Failed { .. }) {
        event = bench.event().await;
    }
    let NodeEvent::Loaded { version, .. } = event else { panic!("{event:?}") };
    assert_eq!(bench.ask(version, "{}", &["0"]).await, [Ok("1".into())]);
}

#[tokio::test]
async fn the_example_in_typescript() {
    let path = examples().join("typescript/opening_hours.ts");
    let spec = NodeSpec::new(NODE, "probe", NodeSource::Script(path));
    let (host, mut events) = NodeHost::start(settings(), vec![spec]).expect("starts");
    let event = tokio::time::timeout(Duration::from_secs(120), events.recv()).await.expect("in time");
    let Some(NodeEvent::Loaded { version, kind: NodeKind::Map, .. }) = event else { panic!("{event:?}") };
    let call = call(version, "{}", r#"{"opens":9,"closes":24}"#);
    host.evaluate(NODE, version, vec![call.clone()]).await;
    assert_eq!(answer_of(&call).as_deref(), Ok(r#""9 am to 12 am""#));
}
