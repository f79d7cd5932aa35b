//! The engine all nodes share: how guests are compiled, interrupted and given memory.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher13};
use wasmtime::component::Component;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::background::parallel;
use super::cache::{CodeCache, Kept};
use super::error::NodeError;
use super::limits::MAX_TABLE_ELEMENTS;
use crate::data::with_causes;

/// How often running guests are asked whether their time is up.
const TICK: Duration = Duration::from_millis(5);

/// How much a guest may nest calls, in bytes of its stack.
const GUEST_STACK: usize = 1 << 20;

/// The stack a guest runs on, with what the host needs while it is called by one.
const FIBER_STACK: usize = 2 << 20;

// A script runtime is one component of several core modules, some with a memory of their own.
const CORE_INSTANCES_PER_COMPONENT: u32 = 24;
const MEMORIES_PER_COMPONENT: u32 = 4;
const TABLES_PER_COMPONENT: u32 = 8;

/// Compiles components and holds what they run on.
#[derive(Clone)]
pub(super) struct Engine {
    engine: wasmtime::Engine,
    config: Config,
    cache: Arc<CodeCache>,
}

/// A component as it runs.
pub(super) struct Compiled {
    pub component: Component,
    /// What it runs from: to be kept for as long as it does.
    pub file: Option<Kept>,
}

impl Engine {
    /// An engine for up to `instances` instances at once, each with up to `memory` bytes.
    pub fn start(instances: u32, memory: usize, cache: CodeCache) -> Result<Self, NodeError> {
        let mut config = pooled(instances, memory);
        let engine = wasmtime::Engine::new(&config).or_else(|error| {
            // Where address space is rationed no pool can be reserved; instances are then made one by one.
            tracing::warn!("nodes run without a pool of instances, which is slower: {error:#}");
            config = settings();
            wasmtime::Engine::new(&config)
        });
        let engine = engine.map_err(|error| NodeError::Engine(format!("{error:#}")))?;
        tick(&engine)?;
        Ok(Engine { engine, config, cache: Arc::new(cache) })
    }

    /// The engine underneath.
    pub fn inner(&self) -> &wasmtime::Engine {
        &self.engine
    }

    /// How many ticks there are in `time`, rounded up.
    pub fn ticks(time: Duration) -> u64 {
        u64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX).max(1)
    }

    /// Compiles `bytes`, or finds what it compiled to before. Takes seconds for a large component that is new.
    pub fn compile(&self, bytes: &[u8]) -> Result<Compiled, NodeError> {
        let hash = blake3::hash(bytes);
        self.find(hash).map_or_else(|| self.compile_anew(bytes, hash), Ok)
    }

    /// Whether bytes with this hash were compiled before, as far as can be said without a look at what they compiled to.
    pub fn has(&self, hash: blake3::Hash) -> bool {
        self.cache.has(&self.key(hash))
    }

    /// What bytes with this hash compiled to before.
    pub fn find(&self, hash: blake3::Hash) -> Option<Compiled> {
        self.compiled(&self.key(hash))
    }

    /// Compiles `bytes`, which have this hash, whether it did before or not.
    pub fn compile_anew(&self, bytes: &[u8], hash: blake3::Hash) -> Result<Compiled, NodeError> {
        let key = self.key(hash);
        let invalid = |error: wasmtime::Error| NodeError::Invalid(format!("{error:#}"));
        // By an engine for this alone: it keeps what it compiles with, tens of megabytes, for as long as it lives.
        let compiler = wasmtime::Engine::new(&self.config).unwrap_or_else(|_| self.engine.clone());
        let code = parallel("node-compiler", || compiler.precompile_component(bytes))?.map_err(invalid)?;
        drop(compiler);
        if let Err(error) = self.cache.put(&key, &code) {
            tracing::warn!("compiled code is not kept, so the next start compiles again: {}", with_causes(&error));
        }
        // SAFETY: the engine itself made this a moment ago.
        let anew = || unsafe { Component::deserialize(&self.engine, &code) }.map_err(invalid);
        let in_memory = || anew().map(|component| Compiled { component, file: None });
        let compiled = self.compiled(&key).map_or_else(in_memory, Ok);
        drop(code);
        give_back();
        compiled
    }

    /// What was compiled before.
    fn compiled(&self, key: &str) -> Option<Compiled> {
        let file = self.cache.get(key)?;
        // SAFETY: the cache gives only what `compile` put there, whole; and nobody else writes to its folder.
        let component = unsafe { Component::deserialize_file(&self.engine, &file.path) };
        component
            .inspect_err(|error| {
                tracing::warn!("compiled code in the cache is unusable and is compiled again: {error:#}")
            })
            .ok()
            .map(|component| Compiled { component, file: Some(file) })
    }

    /// Names what bytes with this hash compile to on this engine with its settings.
    fn key(&self, hash: blake3::Hash) -> String {
        let mut hasher = SipHasher13::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        let settings = hasher.finish128().as_u128();
        format!("{}-{settings:032x}", hash.to_hex())
    }
}

/// Gives memory that is free back to the system: to be called after something that takes much and is done seldom.
pub(super) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes the allocator's own locks, and touches only what is free.
    unsafe {
        libc::malloc_trim(0)
    };
}

fn settings() -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true).epoch_interruption(true).parallel_compilation(true);
    config.max_wasm_stack(GUEST_STACK).async_stack_size(FIBER_STACK);
    config
}

fn pooled(instances: u32, memory: usize) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES_PER_COMPONENT)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .total_memories(instances * MEMORIES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_memory_size(memory)
        .total_tables(instances * TABLES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .table_elements(MAX_TABLE_ELEMENTS)
        .total_stacks(instances)
        .linear_memory_keep_resident(512 << 10)
        .table_keep_resident(64 << 10)
        // Only what a guest wrote to is put back for the next one, where the kernel tells: a third of the time, and hardly any page
        // faults for the next.
        .pagemap_scan(Enabled::Auto);
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// Starts the thread that counts the engine's epochs; it ends when the engine does.
fn tick(engine: &wasmtime::Engine) -> Result<(), NodeError> {
    let engine = engine.weak();
    let run = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    let named = std::thread::Builder::new().name("node-ticker".into());
    named.spawn(run).map(drop).map_err(|error| NodeError::Engine(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_memory_an_instance_may_have_fits_the_pool() {
        assert!(wasmtime::Engine::new(&pooled(16, 4 << 30)).is_ok());
    }
}
