//! Guests that misbehave, and files that are none.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use sangre::wasm::HostSettings;
use serde_json::{Value, json};

use super::guests::Guest;

/// How a guest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    JavaScript,
    Python,
    Wat,
}

/// What is wrong with it, as code where there is some.
#[derive(Clone, Copy)]
pub enum Way {
    /// In its function, on every other write; "good" is what it answers else.
    Call(&'static str),
    /// When memory is asked of it for every other batch.
    Realloc(&'static str),
    /// After the answer to every other write was read.
    PostReturn(&'static str),
    /// A good one runs, and its file is replaced by these in turn.
    Files(&'static [Unusable]),
}

/// A file that is not taken.
#[derive(Clone, Copy)]
pub enum Unusable {
    /// The guest, with this code where it is started; of a script, where it is loaded.
    Start(&'static str),
    AnotherWorld,
    CoreModule,
    CutShort,
    /// Of 100 MB.
    Huge,
    /// A component that takes a compiler seconds, and is no node in the end. Nobody has compiled it before.
    Large,
}

/// A case.
pub struct Evil {
    pub name: &'static str,
    pub source: Source,
    pub way: Way,
    /// What the log has to say, in that order or another.
    pub said: &'static [&'static str],
}

const fn evil(name: &'static str, source: Source, way: Way, said: &'static [&'static str]) -> Evil {
    Evil { name, source, way, said }
}

use Source::{JavaScript, Python, Wat};
use Unusable::{AnotherWorld, CoreModule, CutShort, Huge, Large, Start};
use Way::{Call, Files, PostReturn, Realloc};

const LATE: &[&str] = &["took longer than its deadline of 100 ms"];
const FOR_EVER: &str = "(loop (br 0))";

pub const ALL: [Evil; 25] = [
    evil("endless_loop", JavaScript, Call("for (;;);"), LATE),
    evil("loop_in_realloc", Wat, Realloc(FOR_EVER), LATE),
    evil("loop_in_post_return", Wat, PostReturn(FOR_EVER), LATE),
    evil("loop_in_start", Wat, Files(&[Start(FOR_EVER)]), &["cannot be started: took longer than its deadline"]),
    evil("loop_in_script_load", JavaScript, Files(&[Start("for (;;);")]), LATE),
    evil("trap_in_start", Wat, Files(&[Start("unreachable")]), &["cannot be started: wasm trap"]),
    evil("recursion", Wat, Call("(call $deep)"), &["recursion too deep"]),
    evil(
        "memory",
        Wat,
        Call(
            "(loop (local.set $length (memory.grow (i32.const 16)))
               (if (i32.ne (local.get $length) (i32.const -1)) (then
                 (memory.fill (i32.shl (local.get $length) (i32.const 16)) (i32.const 1) (i32.const 0x100000)) (br 1))))
             unreachable",
        ),
        &["used more than its 64 MiB of memory"],
    ),
    evil("huge_answer", Wat, Call("(local.set $length (i32.const 1000000000))"), &["out of bounds"]),
    evil(
        "deep_json",
        Wat,
        Call(
            "(memory.fill (i32.const 1000) (i32.const 91) (i32.const 60000)) (local.set $text (i32.const 1000)) \
             (local.set $length (i32.const 60000))",
        ),
        &["answered JSON nested deeper than 100 levels"],
    ),
    evil(
        "invalid_utf8",
        Wat,
        Call("(local.set $text (i32.const 112)) (local.set $length (i32.const 5))"),
        &["broke the interface: invalid utf-8"],
    ),
    evil(
        "invalid_json",
        Wat,
        Call("(local.set $text (i32.const 96)) (local.set $length (i32.const 6))"),
        &["answered invalid JSON"],
    ),
    evil(
        "wrong_number",
        Wat,
        Call("(local.set $text (i32.const 80)) (local.set $length (i32.const 5))"),
        &["answered 2 values for 1 rows"],
    ),
    evil("trap", Wat, Call("unreachable"), &["trapped: wasm trap"]),
    evil("exit", Wat, Call("(call $exit (i32.const 1))"), &["ended itself by exit"]),
    evil("log_flood", JavaScript, Call("for (;;) console.log('flood');"), &["lines of the node were dropped"]),
    evil("stdout_flood", Python, Call("while True: print('flood' * 100)"), &["lines of the node were dropped"]),
    evil("file", Python, Call("open('/etc/passwd')"), &["a node has no files"]),
    evil("network", Python, Call("__import__('socket')"), &["there is no module socket here"]),
    evil("clock", JavaScript, Call("Date.now();"), &["declare every:"]),
    evil("environment", JavaScript, Call("process.env.HOME;"), &["process"]),
    // Nobody can notice what it does; what it keeps is gone with its instance, which is replaced when it has grown.
    evil("kept_state", JavaScript, Call("(globalThis.kept ??= []).push('kept'.repeat(1 << 16) + place.name);"), &[]),
    evil(
        "unusable_component",
        Wat,
        Files(&[AnotherWorld, CoreModule, CutShort, Huge]),
        &["exports no node", "a core WebAssembly module", "was the file cut short?", "a node may have 67108864"],
    ),
    evil(
        "unusable_script",
        Python,
        Files(&[CutShort, Huge]),
        &["guest.py:2: transform has no return", "a node may have 67108864"],
    ),
    evil("large_component", Wat, Files(&[Large]), &["exports no node"]),
];

impl Evil {
    /// Whether its language is at hand, and what it takes.
    pub fn is_there(&self) -> Result<()> {
        match (self.source, self.way) {
            (JavaScript, _) => Guest::JavaScript.component().map(drop),
            (Python, _) | (_, Files([Large])) => Guest::Python.component().map(drop),
            (Wat, _) => Ok(()),
        }
    }

    /// Writes what there is at first.
    pub fn begin(&self, file: &Path) -> Result<()> {
        let source = self.source;
        save(
            file,
            match self.way {
                Call(body) => source.with("EVIL", body)?,
                Realloc(body) => source.with("REALLOC", body)?,
                PostReturn(body) => source.with("AFTER", body)?,
                Files(_) => source.good()?,
            },
        )
    }

    /// How much more memory the server may have afterwards.
    pub fn may_leave_mib(&self) -> f64 {
        match self.way {
            // Of the hundreds that a compiler takes some stay with the allocator, in parts of pages. They do not add up: the next compiler takes
            // these.
            Files([Large]) => 80.0,
            _ => 32.0,
        }
    }

    /// Puts the unusable file whose turn it is in the place of the node's, if there is any.
    pub fn replace(&self, file: &Path, turn: usize) -> Result<()> {
        let Files(files) = self.way else { return Ok(()) };
        let content = match files[turn % files.len()] {
            Start(body) => self.source.with("START", body)?,
            AnotherWorld => {
                wat::parse_str(r#"(component (instance $run) (export "wasi:cli/run@0.2.0" (instance $run)))"#)?
            }
            CoreModule => wat::parse_str("(module)")?,
            CutShort => {
                let mut good = self.source.good()?;
                good.truncate(good.len() - 8);
                good
            }
            Huge => return huge(file),
            // Its compiler has hardly begun.
            Large if turn > 0 => return Ok(()),
            Large => return save(file, self.source.marked(fs::read(Guest::Python.component()?)?, now())),
        };
        // Other bytes than the last time, or nobody would look at them again.
        save(file, self.source.marked(content, turn as u64 % 2))
    }
}

/// Removes what a file was compiled to from this user's cache, where nobody will look for it.
pub fn forget(file: &Path) -> Result<()> {
    let hash = blake3::hash(&fs::read(file)?).to_hex();
    for code in fs::read_dir(HostSettings::default().cache.join("code"))? {
        let code = code?;
        if code.file_name().to_string_lossy().starts_with(hash.as_str()) {
            fs::remove_file(code.path())?;
        }
    }
    Ok(())
}

/// Of nothing, so that writing it disturbs nobody.
fn huge(file: &Path) -> Result<()> {
    let next = file.with_extension("new");
    fs::File::create(&next)?.set_len(100 << 20)?;
    Ok(fs::rename(&next, file)?)
}

/// A number that was never there before.
fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos() as u64
}

impl Source {
    /// A guest that is well, as bytes of a file.
    pub fn good(self) -> Result<Vec<u8>> {
        self.with("", "")
    }

    /// One that runs `body` in this place.
    fn with(self, place: &str, body: &str) -> Result<Vec<u8>> {
        let at = |wanted: &str, idle: &'static str| if place == wanted { body.to_owned() } else { idle.to_owned() };
        let (call, start) = (at("EVIL", if self == Python { "pass" } else { "" }), at("START", ""));
        let script = match self {
            JavaScript => format!(
                "{start}
                 export function transform(place) {{
                   if (parseInt(place.name.split('#')[1]) % 2 === 1) {{ {call} }}
                   return 'good';
                 }}"
            ),
            Python => format!(
                "{start}\n\
                 def transform(place, args):\n    \
                     if '#' in place['name'] and int(place['name'].split('#')[1].rstrip(';')) % 2 == 1:\n        \
                         {call}\n    \
                     return 'good'\n"
            ),
            Wat => {
                // Behind what it says of itself, which has the words too.
                let text = include_str!("../nodes/evil.wat");
                let mut code = text[text.find("(component").unwrap_or_default()..].to_owned();
                for word in ["EVIL", "REALLOC", "AFTER", "START"] {
                    code = code.replace(word, &at(word, ""));
                }
                return Ok(wat::parse_str(&code)?);
            }
        };
        Ok(script.into_bytes())
    }

    /// The same with a mark that tells it from others.
    fn marked(self, mut content: Vec<u8>, mark: u64) -> Vec<u8> {
        match self {
            JavaScript => content.extend(format!("\n// {mark}\n").bytes()),
            Python => content.extend(format!("\n# {mark}\n").bytes()),
            // A section for whoever cares: its size, its name, its content.
            Wat => content.extend([0, 10, 1, b'n'].into_iter().chain(mark.to_le_bytes())),
        }
        content
    }

    pub fn file(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            JavaScript => "guest.js",
            Python => "guest.py",
            Wat => "guest.wasm",
        })
    }

    /// The node, as a configuration has it.
    pub fn node(self, file: &Path) -> Value {
        json!({ if self == Wat { "component" } else { "script" }: file })
    }
}

/// Puts this in the place of the file, as editors do.
pub fn save(file: &Path, content: Vec<u8>) -> Result<()> {
    let next = file.with_extension("new");
    fs::write(&next, content)?;
    Ok(fs::rename(&next, file)?)
}
