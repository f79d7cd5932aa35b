//! Ways to bring a new version of a script to where a server runs, for tests.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// One of them, in a folder of its own.
pub(crate) struct Deploy {
    pub name: &'static str,
    /// What is followed.
    pub file: &'static str,
    /// Makes version 1.
    pub prepare: fn(&Path),
    /// Brings version 2.
    pub bring: fn(&Path),
    /// Brings version 3.
    pub bring_another: fn(&Path),
}

pub(crate) const ALL: [Deploy; 6] = [
    Deploy {
        name: "a link to a release is set anew",
        file: "current/s.js",
        prepare: |root| {
            write(root, "rel1/s.js", 1);
            symlink("rel1", root.join("current")).expect("linked");
        },
        bring: |root| {
            write(root, "rel2/s.js", 2);
            link_anew(root, "rel2", "current");
        },
        bring_another: |root| write(root, "rel2/s.js", 3),
    },
    Deploy {
        name: "a folder takes the place of another",
        file: "nodes/s.js",
        prepare: |root| write(root, "nodes/s.js", 1),
        bring: |root| {
            write(root, "nodes.new/s.js", 2);
            rename(root, "nodes", "nodes.old");
            rename(root, "nodes.new", "nodes");
        },
        bring_another: |root| write(root, "nodes/s.js", 3),
    },
    Deploy {
        name: "a folder is deleted and made again",
        file: "nodes/s.js",
        prepare: |root| write(root, "nodes/s.js", 1),
        bring: |root| {
            fs::remove_dir_all(root.join("nodes")).expect("removed");
            write(root, "nodes/s.js", 2);
        },
        bring_another: |root| write(root, "nodes/s.js", 3),
    },
    Deploy {
        name: "a volume of Kubernetes is updated",
        file: "mount/s.js",
        prepare: |root| {
            write(root, "mount/..1/s.js", 1);
            symlink("..1", root.join("mount/..data")).expect("linked");
            symlink("..data/s.js", root.join("mount/s.js")).expect("linked");
        },
        bring: |root| update(root, 2),
        bring_another: |root| update(root, 3),
    },
    Deploy {
        name: "the folder comes later",
        file: "late/nodes/s.js",
        prepare: |_| {},
        bring: |root| write(root, "late/nodes/s.js", 2),
        bring_another: |root| write(root, "late/nodes/s.js", 3),
    },
    Deploy {
        name: "a folder further up takes the place of another",
        file: "app/src/nodes/s.js",
        prepare: |root| write(root, "app/src/nodes/s.js", 1),
        bring: |root| {
            write(root, "app.new/src/nodes/s.js", 2);
            rename(root, "app", "app.old");
            rename(root, "app.new", "app");
        },
        bring_another: |root| write(root, "app/src/nodes/s.js", 3),
    },
];

/// A script that answers its number.
pub(crate) fn version(number: u32) -> String {
    format!("export const transform = () => {number};")
}

fn write(root: &Path, name: &str, number: u32) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, version(number)).expect("written");
}

fn rename(root: &Path, from: &str, to: &str) {
    fs::rename(root.join(from), root.join(to)).expect("renamed");
}

/// As `ln -sfn` does it, in one step.
pub(crate) fn link_anew(root: &Path, target: &str, link: &str) {
    let draft = root.join(format!("{link}.new"));
    symlink(target, &draft).expect("linked");
    fs::rename(draft, root.join(link)).expect("renamed");
}

fn update(root: &Path, number: u32) {
    write(root, &format!("mount/..{number}/s.js"), number);
    link_anew(root, &format!("..{number}"), "mount/..data");
    fs::remove_dir_all(root.join(format!("mount/..{}", number - 1))).expect("removed");
}
