//! A plan as lines of text, for expectations one can read.

use std::fmt::Write;

use crate::data::{Comparison, Expr, Field, Operand, Table};
use crate::dataflow::plan::{Arg, ArrangementRef, Base, Count, KeySource, NodeCall, Plan, Shape, Source, Step};

/// The operators of a plan, one a line, without its tables.
pub fn show(plan: &Plan) -> String {
    let mut out = String::new();
    for (index, it) in plan.arrangements.iter().enumerate() {
        let table = &plan.tables[it.table.0 as usize];
        let key: Vec<String> =
            it.key.iter().map(|(column, class)| format!("{}:{}", table.columns[*column].name, class.sql())).collect();
        let filter = it.filter.as_ref().map_or(String::new(), |filter| format!(" where {}", expr(filter, Some(table))));
        writeln!(out, "rows{index} {}({}) /{}{filter}", table.label(), key.join(","), it.params).expect("to a string");
    }
    for (index, it) in plan.elements.iter().enumerate() {
        let (base, table) = match &it.base {
            Base::Row { table, columns, children } => {
                let table = &plan.tables[table.0 as usize];
                let columns = columns.iter().map(|(title, column)| {
                    let name = &table.columns[*column].name;
                    if title == name { title.to_string() } else { format!("{title}={name}") }
                });
                let children = children.iter().map(|(title, list)| {
                    let on: Vec<&str> = list.on.iter().map(|column| &*table.columns[*column].name).collect();
                    format!("{title}: list{}({}) {:?}", list.id.0, on.join(","), list.params)
                });
                let fields: Vec<String> = columns.chain(children).collect();
                (format!("{} {{{}}}", table.label(), fields.join(", ")), Some(table))
            }
            Base::Element(before) => (format!("of elem{} {:?}", before.id.0, before.params), None),
        };
        let steps: Vec<String> = it.steps.iter().map(|it| step(plan, it, table)).collect();
        let steps = if steps.is_empty() { String::new() } else { format!(" {}", steps.join(" ")) };
        writeln!(out, "elem{index} /{} {base}{steps}", it.params).expect("to a string");
    }
    for (index, it) in plan.lists.iter().enumerate() {
        let source = match &it.source {
            Source::Rows(rows) => reference(rows),
            Source::Through { joins, rows, add } => {
                let join = &plan.tables[plan.arrangements[joins.id.0 as usize].table.0 as usize];
                let add = add.iter().map(|(title, column)| format!(" +{title}={}", join.columns[*column].name));
                format!("{} -> {}{}", reference(joins), reference(rows), add.collect::<String>())
            }
        };
        write!(out, "list{index} /{}+{} {source}", it.parents, it.params).expect("to a string");
        for stage in &it.stages {
            write!(out, " | elem{} {:?}", stage.element.id.0, stage.element.params).expect("to a string");
            for term in &stage.order {
                let sign = if term.descending { "-" } else { "" };
                let nulls = if term.nulls_first == term.descending { "" } else { " nulls swapped" };
                write!(out, " by {sign}{}:{}{nulls}", field(&term.field, None), term.class.sql()).expect("to a string");
            }
            if stage.offset != Count::Fixed(0) {
                write!(out, " offset {}", count(&stage.offset)).expect("to a string");
            }
            if let Some(limit) = &stage.limit {
                write!(out, " limit {}", count(limit)).expect("to a string");
            }
        }
        match &it.shape {
            Shape::Array => out.push('\n'),
            Shape::One => out.push_str(" | one\n"),
            Shape::Reduce(it) => writeln!(out, " | reduce {}", call(plan, it, None)).expect("to a string"),
        }
    }
    for it in &plan.documents {
        writeln!(out, "{} = list{} {:?}", it.name, it.list.0, it.params).expect("to a string");
    }
    out
}

fn reference(it: &ArrangementRef) -> String {
    let key: Vec<String> = it
        .key
        .iter()
        .map(|source| match source {
            KeySource::Parent(index) => format!("parent {index}"),
            KeySource::Join(column) => format!("join {column}"),
            KeySource::Param(param) => format!("${param}"),
        })
        .collect();
    format!("rows{}({}) {:?}", it.id.0, key.join(","), it.params)
}

fn count(it: &Count) -> String {
    match it {
        Count::Fixed(number) => number.to_string(),
        Count::Param(param) => format!("${param}"),
    }
}

fn field(it: &Field, table: Option<&Table>) -> String {
    match (it, table) {
        (Field::Column(column), Some(table)) => table.columns[*column].name.to_string(),
        (Field::Column(column), None) => format!("#{column}"),
        (Field::Path(path), _) => format!(".{}", path.join(".")),
    }
}

fn operand(it: &Operand) -> String {
    match it {
        Operand::Value(value) => value.to_json(),
        Operand::Param(param) => format!("${param}"),
    }
}

fn expr(it: &Expr, table: Option<&Table>) -> String {
    let all = |all: &[Expr], word: &str| {
        let all: Vec<String> = all.iter().map(|one| expr(one, table)).collect();
        format!("({})", all.join(word))
    };
    match it {
        Expr::All(members) => all(members, " and "),
        Expr::Any(members) => all(members, " or "),
        Expr::Not(not) => format!("not {}", expr(not, table)),
        Expr::IsNull(it) => format!("{} is null", field(it, table)),
        Expr::Compare { field: it, class, op, with } => {
            let op = match op {
                Comparison::Eq => "=",
                Comparison::Ne => "<>",
                Comparison::Lt => "<",
                Comparison::Lte => "<=",
                Comparison::Gt => ">",
                Comparison::Gte => ">=",
            };
            format!("{} {op}:{} {}", field(it, table), class.sql(), operand(with))
        }
        Expr::In { field: it, class, list } => format!("{} in:{} {}", field(it, table), class.sql(), operand(list)),
        Expr::Like { field: it, pattern, fold } => {
            format!("{} {} {}", field(it, table), if *fold { "ilike" } else { "like" }, operand(pattern))
        }
        Expr::Contains { field: it, element, with } => {
            let class = element.as_ref().map_or("jsonb", |class| class.sql());
            format!("{} @>:{class} {}", field(it, table), operand(with))
        }
        Expr::Overlaps { field: it, element, with } => {
            format!("{} &&:{} {}", field(it, table), element.sql(), operand(with))
        }
    }
}

fn step(plan: &Plan, it: &Step, table: Option<&Table>) -> String {
    match it {
        Step::Filter(it) => format!("filter {}", call(plan, it, table)),
        Step::Map { call: it, into: Some(into) } => format!("map {into}={}", call(plan, it, table)),
        Step::Map { call: it, into: None } => format!("map {}", call(plan, it, table)),
        Step::Where(it) => format!("where {}", expr(it, table)),
        Step::Select(fields) => format!("select {}", titles(fields, table)),
    }
}

fn titles(fields: &[(std::sync::Arc<str>, Field)], table: Option<&Table>) -> String {
    let fields: Vec<String> = fields.iter().map(|(title, it)| format!("{title}={}", field(it, table))).collect();
    format!("[{}]", fields.join(","))
}

fn call(plan: &Plan, it: &NodeCall, table: Option<&Table>) -> String {
    let args: Vec<String> = it
        .args
        .iter()
        .map(|(name, arg)| match arg {
            Arg::Value(value) => format!("{name}={}", value.to_json()),
            Arg::Param(param) => format!("{name}=${param}"),
        })
        .collect();
    let input = it.input.as_ref().map_or(String::new(), |input| titles(input, table));
    format!("{}({}){input}", plan.nodes[&it.node].name, args.join(","))
}
