//! WASI for guests: present, because languages' standard libraries want it, and empty.
//!
//! No files, no network, no environment, no arguments. stdout and stderr are captured for the log. Clocks and randomness
//! are refused by a message rather than faked: a node that reads them is no function of its row. With `every` they stand still
//! during a tick: every clock shows when it began, and randomness is the same bytes each time it is asked for, so that equal
//! questions have equal answers. One exception: the seed of hash maps, which no answer may depend on anyhow, is fixed, or Rust's
//! `HashMap` could not be used.
//!
//! Clocks are also how a guest could make the host sleep, where no deadline reaches it: waiting for one is always refused.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceTable, Type, Val};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::instance::GuestState;
use super::limits::MAX_HANDLES;

/// What a guest tried that no node may do. Travels through the engine as the cause of a trap.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(&'static str);

const CLOCK: Refused =
    Refused("read the clock: a node's answer must depend on its row and args alone; declare every: to read the clock");
const RANDOMNESS: Refused = Refused(
    "asked for randomness: a node's answer must depend on its row and args alone; declare every: for randomness",
);

const WAITING: Refused = Refused("waits for a clock: nodes answer at once");

/// Interfaces of WASI whose functions are all defined here, by the beginning of their names. None of them defines resources.
const OURS: [(&str, Refused); 3] =
    [("wasi:clocks/", CLOCK), ("wasi:random/random@", RANDOMNESS), ("wasi:random/insecure@", RANDOMNESS)];

/// The most random bytes that are given at once.
const RANDOM_BYTES: u64 = 64 << 10;

/// Bytes of each of stdout and stderr that are kept of one call.
const CAPTURED: usize = 64 << 10;

/// WASI's part of an instance's state.
pub(super) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    stdout: Captured,
    stderr: Captured,
}

impl Wasi {
    pub fn new() -> Self {
        let (stdout, stderr) = (Captured::default(), Captured::default());
        let mut builder = WasiCtxBuilder::new();
        builder.stdout(stdout.clone()).stderr(stderr.clone()).insecure_random_seed(0).allow_tcp(false).allow_udp(false);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Wasi { ctx: builder.build(), table, stdout, stderr }
    }

    /// What was written to stdout since this was last asked.
    pub fn take_stdout(&self) -> String {
        self.stdout.take()
    }

    /// What was written to stderr since this was last asked.
    pub fn take_stderr(&self) -> String {
        self.stderr.take()
    }
}

impl WasiView for Wasi {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}

/// Defines WASI for `component`: everything its kind of standard library may import, clocks and randomness as they are here.
pub(super) fn link(linker: &mut Linker<GuestState>, component: &Component) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    for (name, import) in component.component_type().imports(component.engine()) {
        let Some((_, refused)) = OURS.iter().find(|(prefix, _)| name.starts_with(prefix)) else { continue };
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        // Under the very version the component names, which wins over a compatible one.
        let mut instance = linker.instance(name)?;
        for (function, item) in interface.exports(component.engine()) {
            if matches!(item.ty, ComponentItem::ComponentFunc(_)) {
                define(&mut instance, function, *refused)?;
            }
        }
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Whether the interface with this name is one of a clock or of randomness.
pub(super) fn is_of_ticks(name: &str) -> bool {
    OURS.iter().any(|(prefix, _)| name.starts_with(prefix))
}

/// Defines a function that reads a clock or randomness: without a tick, it is refused.
fn define(instance: &mut LinkerInstance<'_, GuestState>, function: &str, refused: Refused) -> wasmtime::Result<()> {
    let name = function.to_owned();
    instance.func_new(function, move |store: StoreContextMut<'_, GuestState>, ty, params, results| {
        let tick = store.data().tick().ok_or_else(|| wasmtime::Error::new(refused))?;
        // A clock of the wall, else one that only counts.
        let is_time = matches!(ty.results().next(), Some(Type::Record(_)));
        let given = match (name.as_str(), params) {
            ("now", []) if is_time => time(tick),
            ("now", []) => Val::U64(tick.saturating_mul(1_000_000)),
            ("resolution", []) if is_time => time(1),
            ("resolution", []) => Val::U64(1_000_000),
            ("get-random-u64" | "get-insecure-random-u64", []) => {
                let mut bytes = [0; 8];
                random(tick, &mut bytes);
                Val::U64(u64::from_le_bytes(bytes))
            }
            ("get-random-bytes" | "get-insecure-random-bytes", [Val::U64(length)]) if *length <= RANDOM_BYTES => {
                let mut bytes = vec![0; *length as usize];
                random(tick, &mut bytes);
                Val::List(bytes.into_iter().map(Val::U8).collect())
            }
            _ => return Err(wasmtime::Error::new(WAITING)),
        };
        results[0] = given;
        Ok(())
    })
}

/// Milliseconds as `wasi:clocks/wall-clock.datetime`.
fn time(ms: u64) -> Val {
    let part = (ms % 1_000) as u32 * 1_000_000;
    Val::Record(vec![("seconds".into(), Val::U64(ms / 1_000)), ("nanoseconds".into(), Val::U32(part))])
}

/// The bytes of a tick.
fn random(tick: u64, bytes: &mut [u8]) {
    blake3::Hasher::new().update(&tick.to_le_bytes()).finalize_xof().fill(bytes);
}

/// An output stream that keeps the beginning of what is written, never blocks and never fails.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl IsTerminal for Captured {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Captured {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Captured {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = CAPTURED.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CAPTURED)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Captured {
    async fn ready(&mut self) {}
}
