//! A node in a language this server knows nothing of: C, against the raw interface.

use std::process::Command;

use super::*;

/// The status of the build script that says that a program is missing.
const MISSING: i32 = 3;

#[tokio::test]
async fn a_filter_in_c() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("open_at.wasm");
    let built = Command::new(examples().join("c/build.sh")).arg(&output).output().expect("a shell");
    let said = String::from_utf8_lossy(&built.stderr);
    if built.status.code() == Some(MISSING) {
        eprintln!("not tried: {}", said.trim());
        return;
    }
    assert!(built.status.success(), "{said}");
    let bytes = std::fs::read(&output).expect("the component");
    let mut bench = Bench::new("open_at.wasm", &bytes, |spec| spec.kind = Some(NodeKind::Filter));
    let version = bench.loaded().await;
    let rows = [
        r#"{"name":"a \"closes\": [1, {","opens":9,"closes":17}"#,
        r#"{"closes":2,"opens":18}"#,
        r#"{"opens":9,"hours":{"closes":20}}"#,
        r#"{"opens":"9","closes":17}"#,
        r#"{"opens":-1.5e0,"closes":12.5}"#,
        "[]",
    ];
    let answers = bench.ask(version, r#"{"hour":12}"#, &rows).await;
    let expected = [
        Ok("true".into()),
        Ok("false".into()),
        Err("closes is no number".into()),
        Err("opens is no number".into()),
        Ok("true".into()),
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
