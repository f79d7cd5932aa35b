//! `sangre:node@0.1`, as `wit/0.1.0` has it.

use wasmtime::component::types::{ComponentItem, Record, Type};
use wasmtime::component::{Component, ComponentExportIndex, ComponentType, Instance, Lift, Linker, Lower, TypedFunc};
use wasmtime::{Store, StoreContextMut};

use super::{Answers, Imported, Script, SourceFile, Unit};
use crate::wasm::component::{Declared, Export};
use crate::wasm::error::NodeError;
use crate::wasm::instance::GuestState;
use crate::wasm::log;
use crate::wasm::program::NodeKind;

const CLOCK: &str = "sangre:node/clock@0.1.0";
const LOG: &str = "sangre:node/log@0.1.0";

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

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made from what guests send, by code the compiler does not follow")]
enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Failure {
    row: u32,
    message: String,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct BatchAnswers {
    values: String,
    failures: Vec<Failure>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct File<'a> {
    name: &'a str,
    text: &'a str,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct ImportedFile {
    from: String,
    line: u32,
    candidates: Vec<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct ReadUnit {
    text: String,
    imports: Vec<ImportedFile>,
}

/// Where a component's functions are.
#[derive(Clone)]
pub(in crate::wasm) struct Exports {
    /// What answers batches; of a reader, what reads.
    evaluate: ComponentExportIndex,
    load: Option<ComponentExportIndex>,
}

impl Exports {
    pub fn of(component: &Component, declared: &Declared) -> Result<Self, NodeError> {
        let (_, interface) = component.get_export(None, &declared.interface).ok_or(NodeError::NoNode)?;
        let function = |name: &str| {
            let lacks = || NodeError::Imports(format!("{} has no function {name}", declared.interface));
            component.get_export_index(Some(&interface), name).ok_or_else(lacks)
        };
        if let Export::Node(kind) = declared.export
            && !is_evaluation(component, &declared.interface, kind.function())
        {
            let (interface, function) = (&declared.interface, kind.function());
            return Err(NodeError::Imports(format!("{interface}: {function} is not func(batch: string) -> answers")));
        }
        match declared.export {
            Export::Node(NodeKind::Filter) => Ok(Exports { evaluate: function("keep")?, load: None }),
            Export::Node(NodeKind::Map) => Ok(Exports { evaluate: function("transform")?, load: None }),
            Export::Node(NodeKind::Reduce) => Ok(Exports { evaluate: function("reduce")?, load: None }),
            Export::Reader => Ok(Exports { evaluate: function("read")?, load: None }),
            Export::Script => Ok(Exports { evaluate: function("evaluate")?, load: Some(function("load")?) }),
        }
    }

    pub async fn load(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
        script: &Script<'_>,
    ) -> wasmtime::Result<Result<NodeKind, String>> {
        let index = self.load.as_ref().ok_or_else(|| wasmtime::format_err!("not a script runtime"))?;
        type Params<'a> = (Vec<File<'a>>, Option<Kind>);
        let load: TypedFunc<Params<'_>, (Result<Kind, String>,)> = instance.get_typed_func(&mut *store, index)?;
        let expected = script.expected.map(Kind::from);
        let files = script.files.iter().map(|file| File { name: &file.name, text: &file.text }).collect();
        let (kind,) = load.call_async(store, (files, expected)).await?;
        Ok(kind.map(NodeKind::from))
    }

    pub async fn read(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
        file: &SourceFile,
    ) -> wasmtime::Result<Result<Unit, String>> {
        type Read<'a> = TypedFunc<(File<'a>,), (Result<ReadUnit, String>,)>;
        let read: Read<'_> = instance.get_typed_func(&mut *store, self.evaluate)?;
        let (unit,) = read.call_async(store, (File { name: &file.name, text: &file.text },)).await?;
        Ok(unit.map(Unit::from))
    }

    pub async fn evaluate(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
        batch: &str,
    ) -> wasmtime::Result<Answers> {
        let evaluate: TypedFunc<(&str,), (BatchAnswers,)> = instance.get_typed_func(&mut *store, self.evaluate)?;
        let (answers,) = evaluate.call_async(store, (batch,)).await?;
        let failures = answers.failures.into_iter().map(|failure| (failure.row as usize, failure.message));
        Ok(Answers { values: answers.values, failures: failures.collect() })
    }
}

/// Whether the function has the type that the interface gives it; true if there is no such function, which is said otherwise.
fn is_evaluation(component: &Component, interface: &str, function: &str) -> bool {
    let (ty, engine) = (component.component_type(), component.engine());
    let Some(ComponentItem::ComponentInstance(exports)) = ty.get_export(engine, interface).map(|export| export.ty)
    else {
        return true;
    };
    match exports.get_export(engine, function).map(|export| export.ty) {
        Some(ComponentItem::ComponentFunc(func)) => {
            let params: Vec<Type> = func.params().map(|(_, ty)| ty).collect();
            let results: Vec<Type> = func.results().collect();
            matches!((&*params, &*results), ([Type::String], [Type::Record(answers)]) if is_answers(answers))
        }
        _ => true,
    }
}

fn is_answers(record: &Record) -> bool {
    let fields: Vec<_> = record.fields().map(|field| (field.name, field.ty)).collect();
    let [("values", Type::String), ("failures", Type::List(failures))] = &*fields else { return false };
    let Type::Record(failure) = failures.ty() else { return false };
    let fields: Vec<_> = failure.fields().map(|field| (field.name, field.ty)).collect();
    matches!(&*fields, [("row", Type::U32), ("message", Type::String)])
}

pub(super) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut clock = linker.instance(CLOCK)?;
    clock.func_wrap("now", |store: StoreContextMut<'_, GuestState>, ()| Ok((store.data().tick(),)))?;
    let mut log = linker.instance(LOG)?;
    log.func_wrap("write", |store: StoreContextMut<'_, GuestState>, (level, message): (Level, String)| {
        store.data().log(level.into(), &message);
        Ok(())
    })?;
    log.func_wrap("fail", |mut store: StoreContextMut<'_, GuestState>, (message,): (String,)| {
        store.data_mut().set_last_words(message);
        Ok(())
    })
}

impl From<ReadUnit> for Unit {
    fn from(unit: ReadUnit) -> Self {
        let imports = unit.imports.into_iter();
        let imports = imports.map(|ImportedFile { from, line, candidates }| Imported { from, line, candidates });
        Unit { text: unit.text, imports: imports.collect() }
    }
}

impl From<NodeKind> for Kind {
    fn from(kind: NodeKind) -> Self {
        match kind {
            NodeKind::Filter => Kind::Filter,
            NodeKind::Map => Kind::Map,
            NodeKind::Reduce => Kind::Reduce,
        }
    }
}

impl From<Kind> for NodeKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Filter => NodeKind::Filter,
            Kind::Map => NodeKind::Map,
            Kind::Reduce => NodeKind::Reduce,
        }
    }
}

impl From<Level> for log::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        }
    }
}
