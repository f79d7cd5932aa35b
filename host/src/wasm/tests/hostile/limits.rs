//! Each limit has a setting, and the setting is kept to.

use super::state::counts;
use super::*;

/// Contents that were never compiled before: the guest answers this number.
fn never_seen() -> (Vec<u8>, String) {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).expect("after 1970");
    let number = format!("{}{:03}{count}", now.as_nanos(), std::process::id() % 1_000);
    (Wat { text: format!("[{number}]").as_bytes(), ..Wat::default() }.build(), number)
}

/// What a single row comes to within these limits.
async fn within(wat: &Wat<'_>, adjust: impl FnOnce(&mut Limits)) -> Result<String, String> {
    Bench::new("probe.wasm", &wat.build(), |spec| adjust(&mut spec.limits)).once("1").await
}

#[tokio::test]
async fn depth_of_answers() {
    let wat = |text| Wat { text, ..Wat::default() };
    let three = |limits: &mut Limits| limits.depth = 3;
    assert_eq!(within(&wat(b"[[{\"a\":[1]}]]"), three).await.as_deref(), Ok("[{\"a\":[1]}]"));
    let deep = within(&wat(b"[[{\"a\":[[]]}]]"), three).await;
    assert_eq!(deep, Err("answered JSON nested deeper than 3 levels".into()));
    // What is set cannot be more than what is safe.
    let text = format!("[{}{}]", "[".repeat(101), "]".repeat(101));
    let deep = within(&wat(text.as_bytes()), |limits| limits.depth = 1_000).await;
    assert_eq!(deep, Err("answered JSON nested deeper than 100 levels".into()));
}

#[tokio::test]
async fn bytes_of_answers_and_of_messages() {
    let wat = Wat { text: b"[\"0123456789\"]", ..Wat::default() };
    assert_eq!(within(&wat, |limits| limits.output = 14).await.as_deref(), Ok("\"0123456789\""));
    let long = within(&wat, |limits| limits.output = 13).await;
    assert_eq!(long, Err("answered 14 bytes: a batch's answers may have 13".into()));
    let both = within(&wat, |limits| (limits.output, limits.messages) = (7, 6)).await;
    assert_eq!(both, Err("said more than it may in one call: 7 bytes of answers and 6 bytes of messages".into()));
}

#[tokio::test]
async fn memory_in_the_words_of_the_setting() {
    let body = "(if (i32.eq (memory.grow (i32.const 2)) (i32.const -1)) (then unreachable))";
    let wat = Wat { body, ..Wat::default() };
    assert_eq!(within(&wat, |limits| limits.memory = 256 << 10).await.as_deref(), Ok("1"));
    let refused = within(&wat, |limits| limits.memory = 192 << 10).await;
    assert_eq!(refused, Err("used more than its 192 KiB of memory".into()));
}

#[tokio::test]
async fn calls_until_an_instance_is_replaced() {
    let ones = vec![Ok("\"0001\"".into()); 5];
    assert_eq!(counts("", 5, |limits| limits.calls = 1).await, ones, "each call has a new one");
    let threes: Vec<_> = (0..9).map(|call| Ok(format!("\"000{}\"", call % 3 + 1))).collect();
    assert_eq!(counts("", 9, |limits| limits.calls = 3).await, threes);
}

#[tokio::test]
async fn answers_are_right_with_a_new_instance_for_each_batch() {
    let source = "export const transform = (row, args) => row + (args.by ?? 0);";
    let limits = |spec: &mut NodeSpec| {
        spec.limits.calls = 1;
        // With little memory batches are small, so there are many.
        spec.limits.memory = 8 << 20;
    };
    adds_in_order(Bench::new("probe.js", source.as_bytes(), limits)).await;
}

#[tokio::test]
async fn growth_until_an_instance_is_replaced() {
    let grow = "(if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))";
    // 1 MiB with each call: the third is 2 more than after the first.
    let threes: Vec<_> = (0..9).map(|call| Ok(format!("\"000{}\"", call % 3 + 1))).collect();
    assert_eq!(counts(grow, 9, |limits| limits.growth = (2 << 20) - 1).await, threes);
}

#[tokio::test]
async fn files_of_a_script() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("probe.js", "import './a.js';\n\nimport './b.js';"), ("a.js", ""), ("b.js", "")] {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let mut bench = Bench::at(folder, "probe.js", |spec| spec.limits.files = 2);
    let reason = bench.failed().await;
    assert_eq!(reason, "probe.js:3: imports \"./b.js\", with which the script has more than 2 files");
}

#[tokio::test]
async fn time_to_compile() {
    const LATE: &str = "compiling takes longer than its compile_time of 0ns";
    let (bytes, first) = never_seen();
    let mut bench = Bench::new("probe.wasm", &bytes, |spec| spec.limits.compile_time = Duration::ZERO);
    let reason = bench.failed().await;
    assert!(reason.starts_with(LATE), "{reason}");
    // What the compiler makes late is taken all the same.
    let version = bench.loaded_in_the_end().await;
    assert_eq!(bench.ask(version, "{}", &["1"]).await, [Ok(first.clone())]);

    let (bytes, second) = never_seen();
    bench.write(&bytes);
    let reason = bench.failed().await;
    assert!(reason.starts_with(LATE), "{reason}");
    assert_eq!(bench.ask(version, "{}", &["1"]).await, [Ok(first)], "the version before stays");
    let version = bench.loaded_in_the_end().await;
    assert_eq!(bench.ask(version, "{}", &["1"]).await, [Ok(second)]);

    // What was compiled before is not compiled.
    let mut again = Bench::new("probe.wasm", &bytes, |spec| spec.limits.compile_time = Duration::ZERO);
    again.loaded().await;
}

impl Bench {
    /// The next version, whatever fails before.
    async fn loaded_in_the_end(&mut self) -> NodeVersion {
        loop {
            match self.event().await {
                NodeEvent::Loaded { version, .. } => return version,
                NodeEvent::Failed { reason, .. } => {
                    assert!(reason.contains("compile_time"), "{reason}");
                }
                NodeEvent::Looked { .. } => {}
            }
        }
    }
}
