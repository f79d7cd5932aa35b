//! Followers that look only when they are told to, as whoever follows a file does.

use std::fs;
use std::os::unix::fs::symlink;

use notify::Event;
use notify::event::{CreateKind, DataChange, RenameMode};

use super::deploys::{self, version};
use super::*;

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3_600);

const PATIENCE: Duration = Duration::from_secs(20);

/// Follows one file.
struct Reader {
    watch: Watch<u32>,
    changed: Receiver<()>,
    path: PathBuf,
}

impl Reader {
    fn of(path: PathBuf, watch: Watch<u32>) -> Self {
        let changed = joined(&watch, 0);
        watch.begin(0, &path);
        Reader { watch, changed, path }
    }

    /// Looks whenever it is told to, until the file says this.
    fn until(&self, text: &str, what: &str) {
        loop {
            let told = self.changed.recv_timeout(PATIENCE);
            told.unwrap_or_else(|_| panic!("{what}: nobody told of {text:?}"));
            self.watch.begin(0, &self.path);
            if fs::read_to_string(&self.path).is_ok_and(|found| found == text) {
                return;
            }
        }
    }

    /// Looks until it was told of all that has happened so far: events come in order, so they have when that of a file in `folder`, which
    /// is made now, has.
    fn catch_up(&self, folder: &Path) {
        let marked = joined(&self.watch, 1);
        for number in 0.. {
            let mark = folder.join(format!("mark{number}"));
            self.watch.begin(1, &mark);
            fs::write(mark, "").expect("written");
            marked.recv_timeout(PATIENCE).expect("it is told of the mark");
            if !self.is_told() {
                return;
            }
            self.watch.begin(0, &self.path);
        }
    }

    /// Whether it was told of something.
    fn is_told(&self) -> bool {
        self.changed.try_recv().is_ok()
    }
}

/// What is told to a new follower.
fn joined(watch: &Watch<u32>, key: u32) -> Receiver<()> {
    let (change, changed) = sync_channel(1);
    watch.join(key, move || {
        let _ = change.try_send(());
    });
    changed
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn events_tell_of_every_way_to_deploy() {
    for deploy in deploys::ALL {
        let folder = folder();
        (deploy.prepare)(folder.path());
        let reader = Reader::of(folder.path().join(deploy.file), Watch::comparing_each(NEVER));
        (deploy.bring)(folder.path());
        reader.until(&version(2), deploy.name);
        reader.catch_up(folder.path());
        (deploy.bring_another)(folder.path());
        reader.until(&version(3), deploy.name);
    }
}

#[test]
fn without_events_a_comparison_tells() {
    for deploy in deploys::ALL {
        let folder = folder();
        (deploy.prepare)(folder.path());
        let reader = Reader::of(folder.path().join(deploy.file), Watch::with(Arc::default(), None, NEVER));
        for (bring, number) in [(deploy.bring, 2), (deploy.bring_another, 3)] {
            reader.watch.watching.compare();
            assert!(!reader.is_told(), "{}: nothing has changed", deploy.name);
            bring(folder.path());
            reader.watch.watching.compare();
            reader.until(&version(number), deploy.name);
        }
    }
}

#[test]
fn a_comparison_comes_by_itself() {
    let folder = folder();
    let path = folder.path().join("late.js");
    let reader = Reader::of(path.clone(), Watch::with(Arc::default(), None, Duration::from_millis(1)));
    fs::write(path, version(1)).expect("written");
    reader.until(&version(1), "a comparison");
}

#[test]
fn what_neighbours_do_wakes_nobody() {
    let folder = folder();
    let root = folder.path().canonicalize().expect("a folder");
    fs::create_dir(root.join("nodes")).expect("made");
    let reader = Reader::of(root.join("nodes/s.js"), Watch::with(Arc::default(), None, NEVER));
    let followers = &reader.watch.watching.followers;
    let event = |kind, path: &str| followers.tell(Ok(Event::new(kind).add_path(root.join(path))));
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    for path in ["other", "s.js", "nodes/other.js", "other/s.js", "nodes/s.js/x"] {
        event(EventKind::Create(CreateKind::File), path);
        event(written, path);
    }
    assert!(!reader.is_told());
    event(written, "nodes/s.js");
    assert!(reader.is_told());
    event(EventKind::Modify(ModifyKind::Name(RenameMode::From)), "nodes");
    assert!(reader.is_told());
    followers.tell(Err(notify::Error::generic("overrun")));
    assert!(reader.is_told());
}

#[test]
fn folders_are_watched_as_long_as_somebody_follows_a_file_through_them() {
    let folder = folder();
    let root = folder.path().canonicalize().expect("a folder");
    for name in ["one", "two"] {
        fs::create_dir(root.join(name)).expect("made");
    }
    let reader = Reader::of(root.join("one/s.js"), Watch::comparing_each(NEVER));
    let watching = &reader.watch.watching;
    let watched = |name: &str| {
        watching.tidy();
        let folders = watching.folders.lock().expect("nobody panicked");
        folders.watched.contains_key(&root.join(name))
    };
    reader.watch.join(1, || {});
    reader.watch.follow(1, &root.join("one/t.js"));
    reader.watch.follow(1, &root.join("two/t.js"));
    assert!(watched("one") && watched("two"));
    reader.watch.begin(1, &root.join("one/t.js"));
    assert!(watched("one") && !watched("two"), "a script may import other files now");
    reader.watch.leave(1);
    assert!(watched("one"));
    fs::write(&reader.path, version(1)).expect("written");
    reader.until(&version(1), "a neighbour has left");
    reader.watch.leave(0);
    assert!(!watched("one"));
    reader.watch.follow(0, &reader.path);
    assert!(!watched("one"), "who has left follows nothing");
}

#[test]
fn ways_through_links() {
    let folder = folder();
    let root = folder.path().canonicalize().expect("a folder");
    fs::create_dir_all(root.join("a/b")).expect("made");
    fs::write(root.join("a/s.js"), version(1)).expect("written");
    symlink("../s.js", root.join("a/b/up.js")).expect("linked");
    symlink(root.join("a/b"), root.join("link")).expect("linked");
    symlink("round", root.join("round")).expect("linked");
    let way = |name: &str| {
        let Way { steps, folders, file } = Way::to(&root.join(name));
        let below = |path: &Path| path.strip_prefix(&root).ok().map(|path| path.display().to_string());
        let steps: Vec<String> = steps.iter().filter_map(|step| below(step)).filter(|step| !step.is_empty()).collect();
        let folders: Vec<String> = folders.iter().filter_map(|(folder, _)| below(folder)).collect();
        (steps.join(" "), folders.join(" "), file == identity(&root.join(name)))
    };
    assert_eq!(way("link/up.js"), ("link a a/b a/b/up.js a/s.js".into(), " a a/b".into(), true));
    assert_eq!(way("a/x/y.js"), ("a a/x".into(), " a".into(), true));
    assert_eq!(way("a/s.js/y.js"), ("a a/s.js".into(), " a".into(), true));
    let (steps, _, none) = way("round");
    assert!(none && steps.split(' ').all(|step| step == "round"), "{steps}");
}
