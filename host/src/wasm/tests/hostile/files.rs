//! Files that are no nodes, and components of another time.

use super::*;

fn wat(source: &str) -> Vec<u8> {
    wat::parse_str(source).unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn what_is_no_component_is_refused_by_name() {
    let other = "not a WebAssembly component: the file begins with other bytes";
    assert_eq!(refused(b"").await, other);
    assert_eq!(refused(b"export default 1").await, other);
    assert_eq!(refused(b"\0asm").await, other);
    assert!(
        refused(&wat("(module)"))
            .await
            .starts_with("a core WebAssembly module, not a component: `sangre node build` makes ")
    );
    let whole = Wat::default().build();
    for length in [8, 9, whole.len() / 2, whole.len() - 1] {
        let refusal = refused(&whole[..length]).await;
        let expected = if length == 8 { "exports no node" } else { "not a valid component (was the file cut short?)" };
        assert!(refusal.starts_with(expected), "{length}: {refusal}");
    }
    let mut spoilt = whole.clone();
    let middle = whole.len() / 2;
    spoilt[middle..middle + 40].fill(0xff);
    assert!(refused(&spoilt).await.starts_with("not a valid component"));
}

#[tokio::test]
async fn a_component_of_another_world() {
    let none = "exports no node: a node exports one of sangre:node/filter-rows, map-rows or reduce-lists";
    assert_eq!(refused(&wat("(component)")).await, none);
    let other = r#"(component (instance $run) (export "wasi:cli/run@0.2.0" (instance $run)))"#;
    assert_eq!(refused(&wat(other)).await, none);
    let both = r#"(component (instance $none) (export "sangre:node/map-rows@0.1.0" (instance $none))
        (export "sangre:node/filter-rows@0.1.0" (instance $none)))"#;
    let refusal = refused(&wat(both)).await;
    assert_eq!(
        refusal,
        "exports sangre:node/map-rows@0.1.0 and sangre:node/filter-rows@0.1.0: a node exports one of them"
    );
    let script = r#"(component (instance $none) (export "sangre:node/script@0.1.0" (instance $none)))"#;
    let refusal = refused(&wat(script)).await;
    assert!(refusal.contains("sangre:node/script@0.1.0 has no function evaluate"), "{refusal}");
}

#[tokio::test]
async fn exports_of_other_types() {
    let empty = r#"(component (instance $none) (export "sangre:node/map-rows@0.1.0" (instance $none)))"#;
    let refusal = refused(&wat(empty)).await;
    assert_eq!(refusal, "does not fit this server: sangre:node/map-rows@0.1.0 has no function transform");
    let refusal = Wat { function: "keep", ..Wat::default() }.refusal().await;
    assert_eq!(refusal, "does not fit this server: sangre:node/map-rows@0.1.0 has no function transform");
    for types in ["(result u32)", "(param \"batch\" u32) (result u32)"] {
        let params = types.matches("param").map(|_| "(param i32)").collect::<String>();
        let other = format!(
            r#"(component
                (core module $m (func (export "f") {params} (result i32) (i32.const 1)))
                (core instance $i (instantiate $m))
                (func $f {types} (canon lift (core func $i "f")))
                (instance $node (export "transform" (func $f)))
                (export "sangre:node/map-rows@0.1.0" (instance $node)))"#
        );
        let refusal = refused(&wat(&other)).await;
        assert_eq!(
            refusal,
            "does not fit this server: sangre:node/map-rows@0.1.0: transform is not func(batch: string) -> answers"
        );
    }
}

#[tokio::test]
async fn versions_there_are_not() {
    for (version, found) in [("0.9.0", "0.9"), ("1.0.0", "1.0"), ("0.2.0", "0.2")] {
        let refusal = Wat { version, ..Wat::default() }.refusal().await;
        assert_eq!(refusal, format!("speaks sangre:node {found}, this server speaks 0.1"));
    }
    // Patches of one minor version are compatible.
    assert_eq!(Wat { version: "0.1.7", ..Wat::default() }.answer().await.as_deref(), Ok("1"));
}

/// A component of version 0.1.0, kept as it was: whatever the interface becomes, it runs.
#[tokio::test]
async fn an_old_component_still_runs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/0.1.0/component.wat");
    let bytes = wat(&std::fs::read_to_string(path).expect("a fixture"));
    let mut bench = Bench::new("old.wasm", &bytes, |spec| spec.kind = Some(NodeKind::Map));
    let version = bench.loaded().await;
    let answers = bench.ask(version, r#"{"a":1}"#, &["1", "2"]).await;
    assert_eq!(answers, [Ok(r#"[{"args":{"a":1},"rows":[1]}]"#.into()), Ok(r#"[{"args":{"a":1},"rows":[2]}]"#.into())]);
    let answers = bench.ask(version, "{}", &["\"fail\"", "\"last words\""]).await;
    assert_eq!(answers, [Err("as it was told".into()), Err("its last words".into())]);
}

#[tokio::test]
async fn huge_names() {
    let name = "x".repeat(90_000);
    let refusal = refused(&wat(&format!(r#"(component (import "{name}" (func)))"#))).await;
    assert!(refusal.len() < 5_000, "{} bytes", refusal.len());
    let outside = format!(r#"(import "{name}" (func))"#);
    let refusal = Wat { outside: &outside, ..Wat::default() }.refusal().await;
    assert!(refusal.starts_with("does not fit this server: ") && refusal.len() < 5_000, "{} bytes", refusal.len());
    let name = "x".repeat(200_000);
    let module = format!(r#"(component (core module (func (export "{name}"))))"#);
    let refusal = refused(&wat(&module)).await;
    assert!(refusal.starts_with("not a valid component"), "{refusal}");
}

#[tokio::test]
async fn a_file_too_large_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("big.wasm");
    // It has the length without the bytes: nothing of it is read.
    std::fs::File::create(&path).and_then(|file| file.set_len(100 << 20)).expect("made");
    assert_eq!(
        reason(NodeSource::Component(path.clone()), |_| {}).await,
        format!("{} has 104857600 bytes: a node may have 67108864", path.display())
    );
    std::fs::write(&path, vec![0; 100]).expect("written");
    let said = reason(NodeSource::Component(path), |limits| limits.size = 99).await;
    assert!(said.ends_with("has 100 bytes: a node may have 99"), "{said}");
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_file_is_not_waited_for() {
    for path in ["/dev/zero", "/dev"] {
        let said = reason(NodeSource::Component(path.into()), |_| {}).await;
        assert_eq!(said, format!("cannot read {path}: not a regular file"));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pipe.js");
    let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("no zero in it");
    // SAFETY: the name is a string that ends with a zero.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let said = reason(NodeSource::Script(path), |_| {}).await;
    assert!(said.ends_with("pipe.js: not a regular file"), "{said}");
}

/// Why the file is not taken.
async fn reason(source: NodeSource, adjust: impl FnOnce(&mut Limits)) -> String {
    let mut spec = NodeSpec::new(NODE, "big", source);
    adjust(&mut spec.limits);
    let (_host, mut events) = NodeHost::start(settings(), vec![spec]).expect("starts");
    match tokio::time::timeout(Duration::from_secs(120), events.recv()).await.expect("in time") {
        Some(NodeEvent::Failed { reason, .. }) => reason,
        other => panic!("not a failure: {other:?}"),
    }
}
