//! Guests that misbehave, written by hand, and files that are no guests. What an operator and clients see of each is in
//! `docs/hostile-nodes.md`.
//!
//! One thing no host can notice: answers that are good but in another order than the rows.

mod answers;
mod files;
mod imports;
mod limits;
mod memory;
mod state;
mod time;

use super::*;

/// A guest by hand: answers the bytes of `text` to every batch, but for what a test changes.
struct Wat<'a> {
    interface: &'a str,
    function: &'a str,
    version: &'a str,
    /// Of the component: imports, and what makes core functions of them.
    outside: &'a str,
    /// What the core module is instantiated with, beside its memory.
    with: &'a str,
    /// Fields of the core module: its imports, and then others.
    core_imports: &'a str,
    core: &'a str,
    /// Before `realloc` answers.
    realloc: &'a str,
    /// Before a call answers. `$n` is how many bytes the batch has.
    body: &'a str,
    /// After the answer was read; without it there is no such function.
    post_return: Option<&'a str>,
    text: &'a [u8],
}

impl Default for Wat<'_> {
    fn default() -> Self {
        Wat {
            interface: "map-rows",
            function: "transform",
            version: "0.1.0",
            outside: "",
            with: "",
            core_imports: "",
            core: "",
            realloc: "",
            body: "",
            post_return: None,
            text: b"[1]",
        }
    }
}

impl Wat<'_> {
    /// The component. The memory has 2 pages; a batch is put at 65536, the answer at 64, its record at 0.
    fn build(&self) -> Vec<u8> {
        let Wat { interface, function, version, outside, with, core_imports, core, realloc, body, .. } = self;
        let text: String = self.text.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let length = self.text.len();
        let (after, option) = match self.post_return {
            Some(body) => {
                (format!("(func (export \"after\") (param i32) {body})"), "(post-return (core func $i \"after\"))")
            }
            None => (String::new(), ""),
        };
        let source = format!(
            r#"(component
                (type $interface (instance
                    (type $f (record (field "row" u32) (field "message" string)))
                    (export "failure" (type $failure (eq $f)))
                    (type $a (record (field "values" string) (field "failures" (list $failure))))
                    (export "answers" (type (eq $a)))))
                (import "sangre:node/types@{version}" (instance $types (type $interface)))
                (alias export $types "answers" (type $answers))
                (core module $libc
                    (memory (export "memory") 2)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc} (i32.const 65536)))
                (core instance $libc (instantiate $libc))
                {outside}
                (core module $m
                    (import "libc" "memory" (memory 2))
                    {core_imports}
                    (data (i32.const 64) "{text}")
                    (func $deep (call $deep))
                    (func (export "call") (param $at i32) (param $n i32) (result i32)
                        {body}
                        (i32.store (i32.const 0) (i32.const 64))
                        (i32.store (i32.const 4) (i32.const {length}))
                        (i32.const 0))
                    {after}
                    {core})
                (core instance $i (instantiate $m (with "libc" (instance $libc)) {with}))
                (func $call (param "batch" string) (result $answers) (canon lift (core func $i "call")
                    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")) {option}))
                (instance $node (export "{function}" (func $call)))
                (export "sangre:node/{interface}@{version}" (instance $node)))"#
        );
        wat::parse_str(&source).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What it answers to a single row.
    async fn answer(&self) -> Result<String, String> {
        Bench::new("probe.wasm", &self.build(), |_| {}).once("1").await
    }

    /// What a single row's error says.
    async fn fault(&self) -> String {
        self.answer().await.expect_err("an error")
    }

    /// Why it is not taken.
    async fn refusal(&self) -> String {
        refused(&self.build()).await
    }

    /// A host that runs it, and its version.
    async fn started(&self) -> (Bench, NodeVersion) {
        let mut bench = Bench::new("probe.wasm", &self.build(), |_| {});
        let version = bench.loaded().await;
        (bench, version)
    }
}

/// A component that answers this text to every batch.
pub(super) fn answering(text: &[u8]) -> Vec<u8> {
    Wat { text, ..Wat::default() }.build()
}

async fn refused(bytes: &[u8]) -> String {
    Bench::new("probe.wasm", bytes, |_| {}).failed().await
}

#[tokio::test]
async fn a_well_behaved_one_is_answered() {
    assert_eq!(Wat { text: b"[42]", ..Wat::default() }.answer().await.as_deref(), Ok("42"));
}
