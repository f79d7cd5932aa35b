//! Files that change while the server runs.

use super::*;

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
