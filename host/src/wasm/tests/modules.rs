//! Nodes that some compiler made core modules of: C against the raw interface, and modules written by hand.

use std::process::Command;

use super::*;

/// The status of the compiler's script that says that a program is missing.
const MISSING: i32 = 3;

/// The component of `module`, or why there is none, with the file called "FILE".
fn wrapped(module: &[u8], kind: Option<NodeKind>) -> Result<Vec<u8>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, output) = (folder.path().join("core.wasm"), folder.path().join("node.wasm"));
    std::fs::write(&file, module).expect("written");
    let built = build::component(&build::Source::Module(file.clone()), kind, &output, &Stop::default());
    built.map_err(|error| error.to_string().replace(&file.display().to_string(), "FILE"))?;
    Ok(std::fs::read(&output).expect("the component"))
}

/// A module that has `exports` beside what every module needs.
fn module(exports: &str) -> Vec<u8> {
    let source = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (data (i32.const 16) "as its C library wrote\n")
            (data (i32.const 64) "\10\00\00\00\17\00\00\00")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
            (func $call (param i32 i32) (result i32)
                (drop (call $write (i32.const 2) (i32.const 64) (i32.const 1) (i32.const 80)))
                unreachable)
            {exports})"#
    );
    wat::parse_str(source).unwrap_or_else(|error| panic!("{error}"))
}

const MAP: &str = r#"(export "sangre:node/map-rows@0.1.0#transform" (func $call))"#;

#[tokio::test]
async fn what_a_module_writes_through_wasis_first_preview_is_its_own() {
    let component = wrapped(&module(MAP), None).expect("a component");
    let mut bench = Bench::new("node.wasm", &component, |spec| spec.kind = Some(NodeKind::Map));
    assert_eq!(bench.once("{}").await, Err("as its C library wrote".into()));
}

#[test]
fn a_module_says_what_it_is() {
    let filter = r#"(export "sangre:node/filter-rows@0.1.0#keep" (func $call))"#;
    let refused = |exports: &str, kind| wrapped(&module(exports), kind).expect_err("refused");
    assert_eq!(
        refused("", None),
        "FILE: exports no node: a module exports sangre:node/filter-rows@0.1.0#keep, map-rows@0.1.0#transform or reduce-lists@0.1.0#reduce"
    );
    assert_eq!(refused(&format!("{MAP}{filter}"), None), "FILE: exports several nodes: a module is one of them");
    for exports in [filter, ""] {
        assert_eq!(
            refused(exports, Some(NodeKind::Map)),
            "FILE: failed to find export of interface `sangre:node/map-rows@0.1.0` function `transform`"
        );
    }
    let foreign =
        wat::parse_str(format!(r#"(module (import "env" "now" (func)) (func $call) {MAP})"#)).expect("a module");
    let said = wrapped(&foreign, None).expect_err("refused");
    assert_eq!(said, "FILE: module requires an import interface named `env`");
    assert!(wrapped(&module(MAP)[..60], None).is_err());
}

#[tokio::test]
async fn a_filter_in_c() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = folder.path().join("open_at.core.wasm");
    let compiled = Command::new(examples().join("c/build.sh")).arg(&module).output().expect("a shell");
    let said = String::from_utf8_lossy(&compiled.stderr);
    if compiled.status.code() == Some(MISSING) {
        eprintln!("not tried: {}", said.trim());
        return;
    }
    assert!(compiled.status.success(), "{said}");
    let component = wrapped(&std::fs::read(&module).expect("the module"), None).expect("a component");
    let mut bench = Bench::new("open_at.wasm", &component, |spec| spec.kind = Some(NodeKind::Filter));
    let version = bench.loaded().await;
    let rows = [
        r#"{"name":"a \"closes\": [1, {","opens":9,"closes":17}"#,
        r#"{"closes":2,"opens":18}"#,
        r#"{"opens":9,"hours":{"closes":20}}"#,
        r#"{"opens":"9","closes":17}"#,
        r#"{"opens":-1.5e0,"closes":12.5}"#,
        r#"{"opens":9007199254740993,"closes":9007199254740995}"#,
        "[]",
    ];
    let answers = bench.ask(version, r#"{"hour":12}"#, &rows).await;
    let expected = [
        Ok("true".into()),
        Ok("false".into()),
        Err("closes is no number".into()),
        Err("opens is no number".into()),
        Ok("true".into()),
        Ok("false".into()),
        Err("opens is no number".into()),
    ];
    assert_eq!(answers, expected);
    assert_eq!(bench.ask(version, "{}", &rows[..1]).await, [Err("args.hour is no number".into())]);
    // Many rows, many times: what a call took is given back.
    let rows = vec![rows[0]; 20_000];
    for _ in 0..20 {
        assert!(bench.ask(version, r#"{"hour":12}"#, &rows).await.iter().all(|answer| answer.as_deref() == Ok("true")));
    }
}
