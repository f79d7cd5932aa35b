//! Files that change while the server runs.

use super::*;
use crate::watch::deploys;

#[tokio::test]
async fn an_edit_takes_effect_and_the_version_before_still_answers() {
    let mut bench = Bench::script("export const transform = () => 1;");
    let first = bench.loaded().await;
    bench.write(b"export const transform = () => 2;");
    let second = bench.loaded().await;
    assert_ne!(first, second);
    assert_eq!(bench.ask(second, "{}", &["0"]).await, [Ok("2".into())]);
    assert_eq!(bench.ask(first, "{}", &["0"]).await, [Ok("1".into())]);
    bench.write(b"export const transform = () => 1;");
    assert_eq!(bench.loaded().await, first, "an edit undone is the version it was");
}

#[tokio::test]
async fn a_bad_file_leaves_the_version_before() {
    let mut bench = Bench::script("export const transform = () => 1;");
    let version = bench.loaded().await;
    bench.write(b"export const transform = () => ;");
    assert!(bench.failed().await.contains("SyntaxError"));
    assert_eq!(bench.ask(version, "{}", &["0"]).await, [Ok("1".into())]);
    bench.write(b"export const transform = () => 1;");
    assert_eq!(bench.loaded().await, version);
}

#[tokio::test]
async fn a_file_replaced_as_editors_do_is_noticed_and_one_deleted_too() {
    let mut bench = Bench::script("export const transform = () => 1;");
    let version = bench.loaded().await;
    let draft = bench.path.with_extension("tmp");
    std::fs::write(&draft, "export const transform = () => 2;").expect("written");
    std::fs::rename(&draft, &bench.path).expect("renamed");
    let second = bench.loaded().await;
    assert_ne!(second, version);
    std::fs::remove_file(&bench.path).expect("removed");
    assert!(bench.failed().await.contains("does not exist"));
    assert_eq!(bench.ask(second, "{}", &["0"]).await, [Ok("2".into())]);
}

#[tokio::test]
async fn an_unknown_version_is_an_error() {
    let mut bench = Bench::script("export const transform = () => 1;");
    bench.loaded().await;
    let answers = bench.ask(NodeVersion(1), "{}", &["0"]).await;
    assert_eq!(answers, [Err("this version of the node is not loaded".into())]);
}

#[tokio::test]
async fn a_look_that_was_asked_for_tells_what_came_of_it() {
    let mut bench = Bench::script("export const transform = () => 1;");
    let version = bench.loaded().await;
    let look = bench.host.reload(NODE).expect("there is one");
    assert_eq!(bench.loaded().await, version, "though nothing changed");
    assert_eq!(bench.event().await, NodeEvent::Looked { node: NODE, look });
    assert_eq!(bench.host.reload(NodeId(7)), None);
}

#[tokio::test]
async fn a_version_that_fails_on_most_of_the_recent_rows_is_not_taken() {
    let mut bench = Bench::script("export const transform = (row) => row.id;");
    let version = bench.loaded().await;
    let calls: Vec<_> = (0..5).map(|id| call(version, "{}", &format!("{{\"id\":{id}}}"))).collect();
    bench.host.evaluate(NODE, version, calls.clone()).await;
    bench.write(b"export const transform = (row) => row.name.length;");
    let reason = bench.failed().await;
    assert!(reason.starts_with("failed on 3 of the first 3 rows that it was tried on"), "{reason}");
    assert!(reason.contains("probe.js:1"), "{reason}");
    assert_eq!(bench.ask(version, "{}", &["{\"id\":7}"]).await, [Ok("7".into())]);
    // Some may fail, and what nobody shows any more does not count.
    bench.write(b"export const transform = (row) => { if (row.id > 2) throw 'large'; return 1; };");
    bench.loaded().await;
    drop(calls);
    bench.write(b"export const transform = (row) => row.name.length;");
    bench.loaded().await;
}

#[tokio::test]
async fn what_a_version_prints_while_it_is_tried_is_marked() {
    let log = Log::captured();
    let source = |said: &str| format!("export const transform = (row) => console.log('{said}', row) ?? row;");
    let mut bench = Bench::new("probe.js", source("old").as_bytes(), |spec| spec.name = "marked".into());
    let version = bench.loaded().await;
    let shown = vec![call(version, "{}", "7")];
    bench.host.evaluate(NODE, version, shown.clone()).await;
    bench.write(source("new").as_bytes());
    let version = bench.loaded().await;
    assert_eq!(bench.ask(version, "{}", &["8"]).await, [Ok("8".into())]);
    let lines = log.of("marked");
    let said: Vec<_> = lines.iter().map(|line| line.split_once("sangre::node: ").expect("of a node").1).collect();
    assert_eq!(said, ["old 7 node=\"marked\"", "new 7 node=\"marked\" tried=true", "new 8 node=\"marked\""]);
}

#[tokio::test]
async fn an_earlier_version_can_be_restored() {
    let mut bench = Bench::script("export const transform = () => 1;");
    let first = bench.loaded().await;
    bench.write(b"export const transform = () => 2;");
    let second = bench.loaded().await;
    assert!(bench.host.restore(NODE, first));
    for (version, answer) in [(first, "1"), (second, "2"), (first, "1")] {
        assert_eq!(bench.ask(version, "{}", &["0"]).await, [Ok(answer.into())]);
    }
    assert!(!bench.host.restore(NODE, NodeVersion(7)));
}

#[tokio::test]
async fn nodes_come_and_go_while_others_answer() {
    let mut bench = Bench::script("export const transform = () => 1;");
    let version = bench.loaded().await;
    // More than the pool was made for, and one that may have more memory than any before.
    let named = |index: u32| {
        let path = bench.path.with_file_name(format!("{index}.js"));
        std::fs::write(&path, format!("export const transform = () => {index};")).expect("written");
        NodeSpec::new(NodeId(index), "late", NodeSource::Script(path))
    };
    let mut late: Vec<_> = (10..20).map(named).collect();
    late[9].limits.memory = 200 << 20;
    bench.host.add(late).expect("added");
    for _ in 10..20 {
        let NodeEvent::Loaded { node, version, .. } = bench.event().await else { panic!("not loaded") };
        let call = Arc::new(GuestCall::new(node, version, 0, Value::Null, Value::Null));
        bench.host.evaluate(node, version, vec![call.clone()]).await;
        assert_eq!(answer_of(&call), Ok(node.0.to_string()));
    }
    let gone = bench.path.with_file_name("10.js");
    bench.host.remove(NodeId(10));
    std::fs::write(gone, "export const transform = () => 'nobody looks';").expect("written");
    bench.write(b"export const transform = () => 2;");
    let second = bench.loaded().await;
    assert_eq!(bench.ask(version, "{}", &["0"]).await, [Ok("1".into())]);
    assert_eq!(bench.ask(second, "{}", &["0"]).await, [Ok("2".into())]);
    assert_eq!(bench.host.reload(NodeId(10)), None);
    // Its keeper has ended: the end of the host waits for nobody, and nothing was told of the node.
    drop(bench.host);
    assert_eq!(bench.events.recv().await, None);
}

/// Waits until the newest version gives this answer.
async fn until(bench: &mut Bench, answer: u32, what: &str) {
    loop {
        match bench.event().await {
            NodeEvent::Loaded { version, .. } if bench.ask(version, "{}", &["0"]).await == [Ok(answer.to_string())] => {
                return;
            }
            NodeEvent::Loaded { .. } => {}
            // While the file is on its way.
            NodeEvent::Failed { reason, .. } => assert!(reason.contains("does not exist"), "{what}: {reason}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn every_way_to_deploy_is_noticed_and_so_are_edits_after_it() {
    for deploy in deploys::ALL {
        let folder = tempfile::tempdir().expect("a folder");
        (deploy.prepare)(folder.path());
        let is_there = folder.path().join(deploy.file).exists();
        let mut bench = Bench::at(folder, deploy.file, |_| {});
        if is_there {
            until(&mut bench, 1, deploy.name).await;
        } else {
            assert!(bench.failed().await.contains("does not exist"));
        }
        (deploy.bring)(bench.folder.path());
        until(&mut bench, 2, deploy.name).await;
        (deploy.bring_another)(bench.folder.path());
        until(&mut bench, 3, deploy.name).await;
    }
}

#[tokio::test]
async fn files_that_a_script_imports_are_deployed_like_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_owned();
    let write = |name: &str, number: u32| {
        let text = format!("export const number = {number};");
        std::fs::create_dir_all(root.join(name)).expect("made");
        std::fs::write(root.join(name).join("number.js"), text).expect("written");
    };
    write("lib1", 1);
    write("lib2", 2);
    std::os::unix::fs::symlink("lib1", root.join("lib")).expect("linked");
    let source = "import { number } from './lib/number.js'; export const transform = () => number;";
    std::fs::write(root.join("s.js"), source).expect("written");
    let mut bench = Bench::at(folder, "s.js", |_| {});
    until(&mut bench, 1, "imported").await;
    deploys::link_anew(&root, "lib2", "lib");
    until(&mut bench, 2, "a link set anew").await;
    write("lib2", 3);
    until(&mut bench, 3, "an edit after it").await;
}

#[tokio::test]
async fn a_missing_file_is_told_once() {
    let mut bench = Bench::script("export const transform = () => 1;");
    bench.loaded().await;
    std::fs::remove_file(&bench.path).expect("removed");
    assert!(bench.failed().await.contains("does not exist"));
    // Its folder comes and goes, and whoever asks is told again.
    let elsewhere = bench.folder.path().with_extension("elsewhere");
    std::fs::rename(bench.folder.path(), &elsewhere).expect("moved");
    std::fs::rename(&elsewhere, bench.folder.path()).expect("moved back");
    let look = bench.host.reload(NODE).expect("there is one");
    let mut failures = 0;
    while let NodeEvent::Failed { .. } = bench.event().await {
        failures += 1;
    }
    assert_eq!((look, failures), (1, 1));
}
