//! One running guest: its memory, its state, and a call with all limits on.
//!
//! A guest runs on a stack of its own (a fiber), so it may be called from any thread, however small that one's stack is. Nothing
//! that a guest can call ever waits: a call is finished when it returns.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use wasmtime::component::Instance;
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::{I32Exit, WasiCtxView, WasiView};

use super::bindings::{Answers, Script, SourceFile, Unit};
use super::component::{Code, Export};
use super::engine::Engine;
use super::error::{Fault, NodeError};
use super::limits::{Limits, MAX_HANDLES, MemoryLimit, Stopwatch};
use super::log::{Level, NodeLog};
use super::program::NodeKind;
use super::wasi::{Refused, Wasi};

/// What the host keeps for an instance.
pub(super) struct GuestState {
    wasi: Wasi,
    memory: MemoryLimit,
    log: NodeLog,
    last_words: Option<String>,
    stopwatch: Stopwatch,
    limits: Limits,
    /// For this call, if less than the deadline.
    patience: Option<Duration>,
    /// What clocks show, in milliseconds since 1970, if the node has any.
    tick: Option<u64>,
}

impl GuestState {
    /// What clocks show, in milliseconds since 1970; `None`: the node has none.
    pub fn tick(&self) -> Option<u64> {
        self.tick
    }

    /// Writes to the node's log.
    pub fn log(&self, level: Level, message: &str) {
        self.log.write(level, message);
    }

    /// Keeps what a guest says before it traps.
    pub fn set_last_words(&mut self, message: String) {
        self.last_words = Some(message);
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.ctx()
    }
}

/// In the engine's words for a guest that says more than it may, whose type is its own affair.
const FUEL: &str = "fuel allocated for hostcalls";

/// What a guest is asked at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'a> {
    /// JSON, as the interface has it.
    pub text: &'a str,
    /// What clocks show, in milliseconds since 1970.
    pub tick: Option<u64>,
    /// Whether nobody waits for the answers but who tries a new version.
    pub is_tried: bool,
}

/// A started guest.
pub(super) struct Guest {
    store: Store<GuestState>,
    instance: Instance,
    code: Arc<Code>,
    limits: Limits,
    calls: u32,
    /// After the first call.
    memory: usize,
}

impl Guest {
    /// Starts an instance of `code`.
    pub fn start(code: &Arc<Code>, limits: Limits, log: NodeLog) -> Result<Self, Fault> {
        let state = GuestState {
            wasi: Wasi::new(),
            memory: MemoryLimit::new(limits.memory),
            log,
            last_words: None,
            stopwatch: Stopwatch::start(),
            limits,
            patience: None,
            tick: None,
        };
        let mut store = Store::new(code.pre.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits.output.saturating_add(limits.messages));
        store.set_max_component_handles(MAX_HANDLES);
        store.epoch_deadline_callback(|store| {
            let state = store.data();
            Ok(match state.stopwatch.left(state.patience.unwrap_or(state.limits.deadline)) {
                Some(left) => UpdateDeadline::Continue(Engine::ticks(left)),
                None => UpdateDeadline::Interrupt,
            })
        });
        arm(&mut store, limits.deadline);
        let instance = finished(code.pre.instantiate_async(&mut store));
        match instance {
            Ok(instance) => Ok(Guest { store, instance, code: code.clone(), limits, calls: 0, memory: 0 }),
            Err(error) => Err(match fault_of(&mut store, &error) {
                Fault::Trap(message) | Fault::Interface(message) => Fault::Start(message),
                fault => fault,
            }),
        }
    }

    /// Gives a script runtime its source; the node's kind, or the language's message.
    pub fn load(&mut self, script: &Script<'_>) -> Result<NodeKind, NodeError> {
        arm(&mut self.store, self.limits.deadline);
        let outcome = finished(self.code.interface.load(&mut self.store, &self.instance, script));
        self.write_output();
        match outcome {
            Ok(kind) => kind.map_err(NodeError::Script),
            Err(error) => {
                let fault = fault_of(&mut self.store, &error);
                let name = script.files.first().map_or("the script", |file| &file.name);
                Err(NodeError::Script(format!("{name}: {fault}")))
            }
        }
    }

    /// Has a reader read one file of a script.
    pub fn read(&mut self, file: &SourceFile) -> Result<Unit, NodeError> {
        arm(&mut self.store, self.limits.deadline);
        match finished(self.code.interface.read(&mut self.store, &self.instance, file)) {
            Ok(unit) => unit.map_err(NodeError::Script),
            Err(error) => {
                let fault = fault_of(&mut self.store, &error);
                Err(NodeError::Script(format!("{}: cannot be read: {fault}", file.name)))
            }
        }
    }

    /// Asks a batch. After a fault the guest must not be asked again. With `patience` it may compute only for about as long,
    /// though at least until the engine looks at it next.
    pub fn evaluate(&mut self, batch: Batch<'_>, patience: Option<Duration>) -> Result<Answers, Fault> {
        arm(&mut self.store, patience.unwrap_or(self.limits.deadline));
        let state = self.store.data_mut();
        state.patience = patience;
        state.tick = batch.tick;
        state.log.set_tried(batch.is_tried);
        state.memory.take_refusal();
        let outcome = finished(self.code.interface.evaluate(&mut self.store, &self.instance, batch.text));
        self.calls += 1;
        match outcome {
            Ok(answers) => {
                self.write_output();
                if self.calls == 1 {
                    self.memory = self.store.data().memory.used();
                }
                let size = answers.values.len();
                let limit = self.limits.output;
                if size > limit { Err(Fault::TooMuch { size, limit }) } else { Ok(answers) }
            }
            Err(error) => Err(fault_of(&mut self.store, &error)),
        }
    }

    /// Whether the guest has been used enough.
    pub fn is_worn(&self) -> bool {
        let Limits { calls, growth, .. } = self.limits;
        self.calls >= calls || self.store.data().memory.used().saturating_sub(self.memory) > growth
    }

    /// What the last call computed.
    pub fn computed(&self) -> Duration {
        self.store.data().stopwatch.computed()
    }

    /// Bytes of linear memory it has.
    pub fn memory(&self) -> usize {
        self.store.data().memory.used()
    }

    fn write_output(&mut self) {
        let state = self.store.data();
        state.log.write(Level::Info, &state.wasi.take_stdout());
        state.log.write(Level::Warn, &state.wasi.take_stderr());
    }
}

/// What a call comes to. None of what guests may call waits, so neither does the call.
fn finished<T>(call: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    call.now_or_never().unwrap_or_else(|| Err(wasmtime::format_err!("waited for something that no node can wait for")))
}

/// Starts the time of a call.
fn arm(store: &mut Store<GuestState>, deadline: Duration) {
    store.set_epoch_deadline(Engine::ticks(deadline));
    store.data_mut().stopwatch = Stopwatch::start();
}

/// What made a call fail, in the best words there are: the host's own reason, else the guest's, else the engine's.
fn fault_of(store: &mut Store<GuestState>, error: &wasmtime::Error) -> Fault {
    let limits = store.data().limits;
    let state = store.data_mut();
    let refusal = state.memory.take_refusal();
    let said = state.last_words.take();
    let (stdout, stderr) = (state.wasi.take_stdout(), state.wasi.take_stderr());
    state.log.write(Level::Info, &stdout);
    if let Some(refused) = error.downcast_ref::<Refused>() {
        return Fault::LastWords(refused.to_string());
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) if state.patience.is_some() => return Fault::Impatience,
        Some(Trap::Interrupt) => return Fault::Deadline { deadline_ms: limits.deadline.as_millis() },
        Some(Trap::StackOverflow) => return Fault::Stack,
        _ => {}
    }
    if let Some(fault) = refusal {
        return fault;
    }
    if let Some(words) = said.or_else(|| last_line(&stderr)) {
        return Fault::LastWords(words);
    }
    if error.downcast_ref::<I32Exit>().is_some() {
        return Fault::LastWords("ended itself by exit".into());
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => Fault::Trap(trap.to_string()),
        None => {
            let cause = format!("{:#}", error.root_cause());
            match cause.contains(FUEL) {
                true => Fault::TooTalkative { output: limits.output, messages: limits.messages },
                false => Fault::Interface(cause),
            }
        }
    }
}

fn last_line(text: &str) -> Option<String> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

impl Code {
    /// Whether this belongs to a scripting language, and is no node by itself.
    pub fn is_runtime(&self) -> bool {
        matches!(self.export, Export::Script | Export::Reader)
    }
}
