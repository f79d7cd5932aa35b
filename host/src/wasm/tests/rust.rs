//! Nodes written in Rust with the crate `sangre-node`.

use super::*;

/// The component of `wit/rust/probe`.
fn probe() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/rust/probe");
    let path = build::rust(&root, &Stop::default()).unwrap_or_else(|error| panic!("{error}"));
    std::fs::read(path).expect("the component")
}

fn example(name: &str) -> Vec<u8> {
    let path =
        build::rust(&examples().join("rust").join(name), &Stop::default()).unwrap_or_else(|error| panic!("{error}"));
    std::fs::read(path).expect("the component")
}

#[tokio::test]
async fn a_filter_with_its_own_types() {
    let mut bench = Bench::new("open_at.wasm", &example("open_at"), |spec| spec.kind = Some(NodeKind::Filter));
    let version = bench.loaded().await;
    let rows =
        [r#"{"opens":9,"closes":17}"#, r#"{"opens":18,"closes":2}"#, r#"{"opens":9}"#, r#"{"opens":null,"closes":17}"#];
    let answers = bench.ask(version, r#"{"hour":12}"#, &rows).await;
    let expected = [
        Ok("true"),
        Ok("false"),
        Err("row: missing field `closes` (the row has opens: the query's input: or select: says which)"),
        Err("row.opens: invalid type: null, expected u8: a type that takes null is an Option"),
    ];
    assert_eq!(answers.iter().map(|answer| answer.as_deref().map_err(|error| &**error)).collect::<Vec<_>>(), expected);
    for (args, expected) in [
        ("{}", "args: missing field `hour` (args have no fields)"),
        (r#"{"hour":"12"}"#, "args.hour: invalid type: string \"12\", expected u8"),
    ] {
        assert_eq!(bench.ask(version, args, &rows[..1]).await, [Err(expected.to_owned())]);
    }
}

#[tokio::test]
async fn a_map_that_answers_text() {
    let mut bench = Bench::new("full_name.wasm", &example("full_name"), |_| {});
    let answer = bench.once(r#"{"first_name":"Ada","last_name":"Lovelace"}"#).await;
    assert_eq!(answer.as_deref(), Ok(r#""Ada Lovelace""#));
}

#[tokio::test]
async fn a_node_of_another_kind_is_refused() {
    let mut bench = Bench::new("open_at.wasm", &example("open_at"), |spec| spec.kind = Some(NodeKind::Map));
    assert_eq!(
        bench.failed().await,
        "is a filter, but is used as a map: use it as a filter, or export transform instead"
    );
}

#[tokio::test]
async fn what_goes_wrong_in_rust_is_said_in_its_own_words() {
    let mut bench = Bench::new("probe.wasm", &probe(), |_| {});
    let version = bench.loaded().await;
    let rows = [
        ("panic", Err("probe/src/lib.rs:56: as I was told")),
        ("error", Err("an error of its own")),
        ("instant", Err("read the clock")),
        ("time", Err("read the clock")),
        ("sleep", Err("read the clock")),
        ("file", Err("No such file or directory")),
        ("environment", Ok("0")),
        ("connect", Err("Permission denied")),
        ("map", Ok("1")),
        ("print", Ok("\"print\"")),
        ("exit", Err("ended itself by exit")),
        ("allocate", Err("used more than its 64 MiB of memory")),
        ("nan", Err("answered NaN: JSON has no such number")),
        ("random", Err("asked for randomness: a node's answer must depend on its row and args alone; declare every:")),
        ("recursion", Err("recursion too deep: the call stack is used up")),
        ("long", Ok("9007199254740993")),
        ("digits", Ok("0.1234567890123456789")),
        // The one type that rounds: whoever takes it says so.
        ("rounded", Ok("0.12345678901234568")),
        ("other", Ok("\"other\"")),
    ];
    let texts: Vec<String> = rows.iter().map(|(row, _)| format!("\"{row}\"")).collect();
    let numbers = r#"{"long":9007199254740993,"rounded":0.1234567890123456789,"digits":0.1234567890123456789}"#;
    let answers = bench.ask(version, numbers, &texts.iter().map(|text| &**text).collect::<Vec<_>>()).await;
    for ((row, expected), answer) in rows.iter().zip(&answers) {
        match (expected, answer) {
            (Ok(expected), Ok(answer)) => assert_eq!(expected, answer, "{row}"),
            (Err(expected), Err(answer)) => assert!(answer.contains(expected), "{row}: {answer}"),
            _ => panic!("{row}: {answer:?}"),
        }
    }
    let answers = bench.ask(version, r#"{"long":9223372036854775808}"#, &["\"long\""]).await;
    let expected = "args.long: invalid value: integer `9223372036854775808`, expected i64";
    assert_eq!(answers, [Err(expected.into())]);
    let flood = bench.ask(version, "{}", &["\"flood\""]).await;
    assert_eq!(flood, [Err("took longer than its deadline of 100 ms (`deadline:` sets it)".into())]);
}

#[tokio::test]
async fn of_stdout_and_of_stderr_64_kib_of_a_call_are_kept() {
    let log = Log::captured();
    let bytes = probe();
    for (name, level) in [("prints", "INFO"), ("complains", "WARN")] {
        let mut bench = Bench::new("probe.wasm", &bytes, |spec| {
            spec.name = name.into();
            spec.limits.deadline = Duration::from_secs(10);
        });
        let row = format!("\"{name}\"");
        let version = bench.loaded().await;
        assert_eq!(bench.ask(version, "{}", &[&row]).await, [Ok(row.clone())]);
        let lines = log.of(name);
        let kept = |line: &String| line.contains(level) && line.contains(&"0".repeat(1_000));
        assert!(lines.iter().all(kept), "{lines:?}");
        assert_eq!(lines.len(), 64, "of 200 lines of a KiB each");
    }
}

#[tokio::test]
async fn with_every_clocks_stand_still_during_a_tick() {
    let mut bench = Bench::new("probe.wasm", &probe(), |spec| spec.has_clock = true);
    let version = bench.loaded().await;
    for tick in [1_700_000_000_123, 1_700_000_003_123, 1_700_000_000_123] {
        assert_eq!(bench.ask_at(version, tick, "\"now\"").await, Ok(tick.to_string()));
        assert_eq!(bench.ask_at(version, tick, "\"instant\"").await.as_deref(), Ok("\"instant\""));
    }
    let error = bench.ask_at(version, 1, "\"sleep\"").await;
    assert!(error.as_ref().is_err_and(|message| message.contains("waits for a clock")), "{error:?}");
}

#[test]
fn crates_of_one_name_are_not_taken_for_each_other() {
    let (folder, stop) = (tempfile::tempdir().expect("a folder"), Stop::default());
    let crate_of = |home: &str, answer: &str| {
        let dir = folder.path().join(home).join("twin");
        std::fs::create_dir_all(dir.join("src")).expect("made");
        let manifest =
            "[package]\nname = \"twin\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
        std::fs::write(dir.join("Cargo.toml"), manifest).expect("written");
        let source = format!("#[unsafe(no_mangle)] pub extern \"C\" fn {answer}() {{}}");
        std::fs::write(dir.join("src/lib.rs"), source).expect("written");
        dir
    };
    let twins = [("here", "first"), ("there", "second")].map(|(home, answer)| (crate_of(home, answer), answer));
    for (dir, answer) in &twins {
        let made = build::rust(dir, &stop).unwrap_or_else(|error| panic!("{error}"));
        let bytes = std::fs::read(made).expect("the component");
        assert!(bytes.windows(answer.len()).any(|part| part == answer.as_bytes()), "{answer} is not what was built");
    }
}
