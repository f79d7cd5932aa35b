//! What is kept on disk of components, shared and damaged.

use std::fs::{self, File};

use super::hostile::answering;
use super::*;
use crate::wasm::files::is_whole;

/// A host of its own, whose cache is below `folder`.
fn cached(folder: &Path) -> HostSettings {
    HostSettings { cache: folder.join("cache"), parallel: 1 }
}

/// The files of compiled code.
fn code(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("cache/code")).expect("a folder");
    entries.map(|entry| entry.expect("a file").path()).collect()
}

fn is_whole_at(path: &Path) -> bool {
    File::open(path).and_then(|mut file| is_whole(&mut file)).expect("it can be read")
}

#[tokio::test]
async fn damaged_code_is_compiled_again() {
    let mut folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("probe.wasm"), answering(b"[42]")).expect("written");
    for damage in [
        |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2),
        |bytes: &mut Vec<u8>| {
            let middle = bytes.len() / 2;
            bytes[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0xff);
        },
    ] {
        let mut bench = Bench::with(cached(folder.path()), folder, "probe.wasm", |_| {});
        assert_eq!(bench.once("1").await, Ok("42".into()));
        folder = bench.folder;
        let [path] = &code(folder.path())[..] else { panic!("one component is one file") };
        assert!(is_whole_at(path));
        let mut bytes = fs::read(path).expect("read");
        damage(&mut bytes);
        // Another file: the one of before may still be mapped.
        fs::write(path.with_extension("damaged"), bytes).expect("written");
        fs::rename(path.with_extension("damaged"), path).expect("renamed");
        assert!(!is_whole_at(path));
    }
    let mut bench = Bench::with(cached(folder.path()), folder, "probe.wasm", |_| {});
    assert_eq!(bench.once("1").await, Ok("42".into()));
    assert!(code(bench.folder.path()).iter().all(|path| is_whole_at(path)));
}

#[tokio::test]
async fn hosts_share_what_they_compile_at_the_same_time() {
    const NODES: u32 = 4;
    let folder = tempfile::tempdir().expect("a folder");
    let spec = |number: u32| {
        let path = folder.path().join(format!("{number}.wasm"));
        fs::write(&path, answering(format!("[{number}]").as_bytes())).expect("written");
        NodeSpec::new(NodeId(number), "shared", NodeSource::Component(path))
    };
    let specs: Vec<_> = (0..NODES).map(spec).collect();
    let start = || NodeHost::start(cached(folder.path()), specs.clone()).expect("starts");
    for (host, mut events) in [start(), start(), start()] {
        for _ in 0..NODES {
            let event = tokio::time::timeout(Duration::from_secs(120), events.recv()).await.expect("in time");
            let Some(NodeEvent::Loaded { node, version, .. }) = event else { panic!("not loaded: {event:?}") };
            let call = Arc::new(GuestCall::new(node, version, 0, Value::Null, Value::Null));
            host.evaluate(node, version, vec![call.clone()]).await;
            assert_eq!(answer_of(&call), Ok(node.0.to_string()));
        }
    }
    let code = code(folder.path());
    assert!(code.len() == NODES as usize && code.iter().all(|path| is_whole_at(path)), "{code:?}");
}
