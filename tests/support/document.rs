//! The document a client holds, built from messages alone, and the rules that every message must keep.

use anyhow::{Context, Result, bail, ensure};
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, MoveOperation, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::Value;

use super::json::same;

#[derive(Clone, Debug, Default)]
pub struct Document {
    pub value: Value,
    /// `None` until the first message.
    pub revision: Option<String>,
    /// The client has just come back: the first message may say that nothing has changed, by an empty patch.
    pub resuming: bool,
}

/// The commit whose effect a revision includes: the part before the first `.`, in Postgres's notation.
pub fn lsn_of(revision: &str) -> Result<u64> {
    parse_lsn(revision.split('.').next().unwrap_or_default()).with_context(|| format!("revision {revision:?}"))
}

/// A position in Postgres's notation.
pub fn parse_lsn(text: &str) -> Result<u64> {
    let (high, low) = text.split_once('/').with_context(|| format!("{text:?} is no LSN"))?;
    Ok(u64::from_str_radix(high, 16)? << 32 | u64::from_str_radix(low, 16)?)
}

impl Document {
    /// Applies one message; an error says which rule it breaks.
    pub fn apply(&mut self, message: &Value) -> Result<()> {
        let revision = message["revision"].as_str().context("a message without revision")?;
        let patch = message["patch"].as_array().context("a message without patch")?;
        let confirmed = std::mem::take(&mut self.resuming) && patch.is_empty();
        ensure!(confirmed || !patch.is_empty(), "an empty patch");
        let lsn = lsn_of(revision)?;
        let fresh = match message.get("from").context("a message without from")? {
            Value::Null => true,
            from => {
                let held = self.revision.as_deref();
                ensure!(from.as_str() == held, "a patch from {from}, while {held:?} is held");
                false
            }
        };
        if let Some(held) = &self.revision {
            ensure!(lsn >= lsn_of(held)?, "the revision goes back from {held} to {revision}");
            ensure!(fresh || confirmed || revision != held, "the revision {held} was sent twice");
        }
        let whole = patch.len() == 1 && patch[0]["op"] == "replace" && patch[0]["path"] == "";
        ensure!(!fresh || whole, "from is null, but the patch does not replace the whole document");
        let operations: Result<Vec<PatchOperation>> = patch.iter().map(operation).collect();
        let mut next = if fresh { Value::Null } else { self.value.clone() };
        json_patch::patch(&mut next, &operations?)?;
        ensure!(fresh || confirmed || !same(&next, &self.value), "the patch to {revision} changes nothing");
        self.value = next;
        self.revision = Some(revision.to_owned());
        Ok(())
    }
}

/// One operation of those that the interface allows. (Read by hand: serde loses long integers on the way through a tagged
/// enum.)
fn operation(operation: &Value) -> Result<PatchOperation> {
    let pointer = |member: &str| -> Result<PointerBuf> {
        let text = operation[member].as_str().with_context(|| format!("no {member}: {operation}"))?;
        ensure!(!text.ends_with("/-"), "an operation at the end of a list is not named by its index: {operation}");
        Ok(text.parse()?)
    };
    let path = pointer("path")?;
    let value = || operation.get("value").cloned().with_context(|| format!("no value: {operation}"));
    Ok(match operation["op"].as_str() {
        Some("add") => PatchOperation::Add(AddOperation { path, value: value()? }),
        Some("remove") => PatchOperation::Remove(RemoveOperation { path }),
        Some("replace") => PatchOperation::Replace(ReplaceOperation { path, value: value()? }),
        Some("move") => PatchOperation::Move(MoveOperation { from: pointer("from")?, path }),
        _ => bail!("not an operation of the interface: {operation}"),
    })
}

#[test]
fn rules_of_messages_are_checked() {
    use serde_json::json;
    let first =
        json!({"revision": "0/10.a", "from": null, "patch": [{"op": "replace", "path": "", "value": {"n": 1.10}}]});
    let nothing = json!({"revision": "0/10.a", "from": "0/10.a", "patch": []});
    let mut held = Document::default();
    held.apply(&first).expect("a first message");
    let message =
        |revision: &str, from: &str, patch: Value| json!({"revision": revision, "from": from, "patch": patch});
    let big: Value = serde_json::from_str(
        r#"[{"op":"replace","path":"/n","value":[100000000000000000000,1234567890123456789012345678901234567890.50]}]"#,
    )
    .unwrap();
    let bad = [
        message("0/20.a", "0/11.a", big.clone()),
        message("0/F.a", "0/10.a", big.clone()),
        message("0/20.a", "0/10.a", json!([])),
        message("0/20.a", "0/10.a", json!([{"op": "replace", "path": "/n", "value": 1.1}])),
        message("0/20.a", "0/10.a", json!([{"op": "add", "path": "/-", "value": 1}])),
        message("0/20.a", "0/10.a", json!([{"op": "remove", "path": "/missing"}])),
        message("0/20.a", "0/10.a", json!([{"op": "copy", "from": "/n", "path": "/m"}])),
    ];
    for message in bad {
        assert!(held.clone().apply(&message).is_err(), "{message}");
    }
    held.resuming = true;
    held.apply(&nothing).expect("nothing was missed");
    held.apply(&nothing).expect_err("only the first message of a connection says so");
    held.apply(&message("0/20.a", "0/10.a", big)).expect("a good message");
    assert_eq!(held.value.to_string(), r#"{"n":[100000000000000000000,1234567890123456789012345678901234567890.50]}"#);
}
