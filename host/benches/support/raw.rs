//! The floor of the node host: the same component called by wasmtime alone, text in and text out.
//!
//! No deadline, no limits, no checks of what comes back, and code compiled without the checks for interruption that a deadline
//! takes. Instances come from a pool, as the host's do.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentType, InstancePre, Lift, Linker, Lower, ResourceTable, TypedFunc,
};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreContextMut};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// What interfaces of nodes are called in components.
const INTERFACES: [(&str, &str); 2] =
    [("sangre:node/map-rows@0.1.0", "transform"), ("sangre:node/script@0.1.0", "evaluate")];

/// What the interface of readers is called.
const READER: &str = "sangre:node/script-reader@0.1.0";

#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
enum Kind {
    #[component(name = "filter")]
    Filter,
    #[component(name = "map")]
    Map,
    #[component(name = "reduce")]
    Reduce,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct File<'a> {
    name: &'a str,
    text: &'a str,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Failure {
    #[allow(dead_code, reason = "nothing fails here")]
    row: u32,
    message: String,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Answers {
    values: String,
    failures: Vec<Failure>,
}

/// A file that another imports; scripts here are one file each.
#[derive(ComponentType, Lift)]
#[component(record)]
#[allow(dead_code, reason = "read from the guest, and not used")]
struct Imported {
    from: String,
    line: u32,
    candidates: Vec<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Unit {
    text: String,
    #[allow(dead_code, reason = "scripts here are one file each")]
    imports: Vec<Imported>,
}

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A compiled and linked component.
pub struct Code {
    pre: InstancePre<State>,
    evaluate: ComponentExportIndex,
    load: Option<ComponentExportIndex>,
}

/// An instance that is asked, with its script loaded if it has one.
pub struct Instance {
    store: Store<State>,
    evaluate: TypedFunc<(Arc<str>,), (Answers,)>,
}

/// The text that a language's reader, a component, makes of a script before a runtime is given it.
pub fn read(reader: &[u8], name: &str, text: &str) -> Result<String> {
    read_by(reader, name, text).map_err(|error| anyhow!("{error:#}"))?.map_err(anyhow::Error::msg)
}

fn read_by(reader: &[u8], name: &str, text: &str) -> wasmtime::Result<Result<String, String>> {
    let engine = Engine::default();
    let component = Component::new(&engine, reader)?;
    let mut linker = Linker::new(&engine);
    link_host(&mut linker)?;
    let mut store = new_store(&engine);
    let instance = linker.instantiate(&mut store, &component)?;
    let interface = component.get_export_index(None, READER);
    let function = component.get_export_index(interface.as_ref(), "read");
    let function = function.ok_or_else(|| wasmtime::format_err!("not a reader of scripts"))?;
    let read: TypedFunc<(File<'_>,), (Result<Unit, String>,)> = instance.get_typed_func(&mut store, function)?;
    Ok(read.call(&mut store, (File { name, text },))?.0.map(|unit| unit.text))
}

fn new_store(engine: &Engine) -> Store<State> {
    let state = State { wasi: WasiCtxBuilder::new().build(), table: ResourceTable::new() };
    Store::new(engine, state)
}

fn link_host(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    // What is said is for the node's author; nothing here says anything.
    let mut clock = linker.instance("sangre:node/clock@0.1.0")?;
    clock.func_wrap("now", |_: StoreContextMut<'_, State>, ()| Ok((None::<u64>,)))?;
    let mut log = linker.instance("sangre:node/log@0.1.0")?;
    log.func_new("write", |_, _, _, _| Ok(()))?;
    log.func_new("fail", |_, _, _, _| Ok(()))
}

impl Code {
    /// `stoppable`: with the checks that a deadline takes, though without one. Nothing else differs.
    pub fn compile(bytes: &[u8], stoppable: bool) -> Result<Code> {
        let mut pool = PoolingAllocationConfig::default();
        pool.max_memory_size(256 << 20).max_core_instances_per_component(24).max_memories_per_component(4);
        pool.max_tables_per_component(8).table_elements(100_000).total_component_instances(16);
        pool.total_core_instances(400).total_memories(64).total_tables(128);
        // As the host's.
        pool.linear_memory_keep_resident(512 << 10).table_keep_resident(64 << 10).pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .epoch_interruption(stoppable)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).map_err(|error| anyhow!("{error:#}"))?;
        Code::link(&engine, bytes).map_err(|error| anyhow!("{error:#}"))
    }

    fn link(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Code> {
        let component = Component::new(engine, bytes)?;
        let mut linker = Linker::new(engine);
        link_host(&mut linker)?;
        let found = INTERFACES.iter().find_map(|(interface, evaluate)| {
            let (_, index) = component.get_export(None, interface)?;
            let function = |name: &str| component.get_export_index(Some(&index), name);
            Some((function(evaluate)?, function("load")))
        });
        let (evaluate, load) = found.ok_or_else(|| wasmtime::format_err!("neither a map node nor a runtime"))?;
        Ok(Code { pre: linker.instantiate_pre(&component)?, evaluate, load })
    }

    /// A new instance, with this script.
    pub fn start(&self, script: Option<(&str, &str)>) -> Result<Instance> {
        self.instance(script).map_err(|error| anyhow!("{error:#}"))?.context("the script is not loaded")
    }

    fn instance(&self, script: Option<(&str, &str)>) -> wasmtime::Result<Option<Instance>> {
        let mut store = new_store(self.pre.engine());
        // Never: nobody counts epochs here.
        store.set_epoch_deadline(1);
        let instance = self.pre.instantiate(&mut store)?;
        if let (Some(load), Some((text, name))) = (&self.load, script) {
            type Params<'a> = (Vec<File<'a>>, Option<Kind>);
            let load: TypedFunc<Params<'_>, (Result<Kind, String>,)> = instance.get_typed_func(&mut store, load)?;
            if load.call(&mut store, (vec![File { name, text }], Some(Kind::Map)))?.0.is_err() {
                return Ok(None);
            }
        }
        let evaluate = instance.get_typed_func(&mut store, self.evaluate)?;
        Ok(Some(Instance { store, evaluate }))
    }
}

impl Instance {
    /// The answers to a batch.
    pub fn ask(&mut self, batch: &Arc<str>) -> Result<String> {
        let answers = self.evaluate.call(&mut self.store, (batch.clone(),)).map_err(|error| anyhow!("{error:#}"))?.0;
        match answers.failures.first() {
            Some(failure) => Err(anyhow!("a row failed: {}", failure.message)),
            None => Ok(answers.values),
        }
    }
}
