//! Writes a generated query in the language of `sangre.yaml`, in its JSON form.

use serde_json::{Map, Value, json};

use super::query::{By, Child, Condition, Form, Level, Link, List, Operand, Order, Param, Query, Rule, Step, Test};
use super::schema_gen::{Schema, Table};

/// Names that mean something else directly inside a `where`.
const WORDS: [&str; 4] = ["all", "any", "not", "columns"];

/// The `queries` entry of a query.
pub fn query(schema: &Schema, query: &Query) -> Value {
    let writer = Writer { schema, params: &query.params };
    let mut out = Map::new();
    let segments = query.params.iter().filter(|param| param.in_route).map(|param| format!("/{{{}}}", param.name));
    out.insert("route".into(), json!(format!("/{}{}", query.name, segments.collect::<String>())));
    let declared = query.params.iter().filter_map(|param| Some((param.name.clone(), declaration(param)?)));
    let declared: Map<String, Value> = declared.collect();
    if !declared.is_empty() {
        out.insert("params".into(), Value::Object(declared));
    }
    writer.level(&query.root, None, &mut out);
    Value::Object(out)
}

/// The `tables` entry of a rule; `None` if it says nothing.
pub fn rule(schema: &Schema, table: usize, rule: &Rule) -> Option<Value> {
    let writer = Writer { schema, params: &[] };
    let columns = &schema.tables[table].columns;
    let mut out = Map::new();
    if !rule.conditions.is_empty() {
        out.insert("where".into(), writer.conditions(&rule.conditions, &schema.tables[table]));
    }
    if !rule.hidden.is_empty() {
        out.insert("hide".into(), rule.hidden.iter().map(|&index| json!(columns[index].name)).collect());
    }
    (!out.is_empty()).then_some(Value::Object(out))
}

/// What must be declared of a parameter: whatever the column it is compared with does not say.
fn declaration(param: &Param) -> Option<Value> {
    let sql = param.kind.sql();
    let mut out = match param.form {
        Form::Scalar if param.default.is_none() && !param.optional => return None,
        Form::Scalar => json!({ "type": sql }),
        Form::Array => json!({ "type": format!("{sql}[]"), "max": 100 }),
        Form::Count => json!({ "type": "int4", "min": 0, "max": 1000 }),
    };
    if let Some(default) = &param.default {
        out["default"] = default.json.clone();
    }
    if param.optional {
        out["optional"] = json!(true);
    }
    Some(out)
}

struct Writer<'a> {
    schema: &'a Schema,
    params: &'a [Param],
}

impl Writer<'_> {
    /// `link`: what makes it a nested query.
    fn level(&self, level: &Level, link: Option<&Link>, out: &mut Map<String, Value>) {
        let table = &self.schema.tables[level.table];
        let added = link.and_then(|link| link.added(self.schema, true));
        let added = added.as_ref();
        out.insert("from".into(), json!(table.name));
        if !level.get.is_empty() {
            let get =
                level.get.iter().map(|(column, operand)| (table.columns[*column].name.clone(), self.operand(operand)));
            out.insert("get".into(), Value::Object(get.collect()));
        }
        if !level.conditions.is_empty() {
            out.insert("where".into(), self.conditions(&level.conditions, table));
        }
        if !level.order.is_empty() {
            out.insert("order_by".into(), order_by(&level.order, table, added));
        }
        if let Some(offset) = &level.offset {
            out.insert("offset".into(), self.operand(offset));
        }
        if let Some(limit) = &level.limit {
            out.insert("limit".into(), self.operand(limit));
        }
        if let Some(columns) = &level.select {
            out.insert("select".into(), select(columns, table));
        }
        if !level.children.is_empty() {
            let children = level.children.iter().map(|child| (child.field.clone(), self.child(child, table)));
            out.insert("with".into(), Value::Object(children.collect()));
        }
        if !level.steps.is_empty() {
            let steps = level.steps.iter().map(|step| self.step(step, table, added, &level.children));
            out.insert("steps".into(), steps.collect());
        }
    }

    fn child(&self, child: &Child, parent: &Table) -> Value {
        let mut out = Map::new();
        self.level(&child.level, Some(&child.link), &mut out);
        let table = &self.schema.tables[child.level.table];
        let name = |table: &Table, index: usize| table.columns[index].name.clone();
        match &child.link {
            Link::On(_) if child.inferred => {}
            Link::On(pairs) => {
                let pairs = pairs.iter().map(|&(own, its)| (name(table, own), json!(name(parent, its))));
                out.insert("on".into(), Value::Object(pairs.collect()));
            }
            Link::Through { table: join, conditions, select, .. }
                if child.inferred && conditions.is_empty() && select.is_empty() =>
            {
                out.insert("through".into(), json!(self.schema.tables[*join].name));
            }
            Link::Through { table: join, parent: to_parent, child: to_child, spelled, conditions, select: added } => {
                let join = &self.schema.tables[*join];
                let side = |pairs: &[(usize, usize)], other: &Table| match (spelled, pairs) {
                    (true, _) => {
                        let pairs = pairs.iter().map(|&(own, its)| (name(join, own), json!(name(other, its))));
                        Value::Object(pairs.collect())
                    }
                    (false, [(own, _)]) => json!(name(join, *own)),
                    (false, _) => pairs.iter().map(|&(own, _)| json!(name(join, own))).collect(),
                };
                let mut through = json!({ "table": join.name });
                if !child.inferred {
                    through["parent"] = side(to_parent, parent);
                    through["child"] = side(to_child, table);
                }
                if !conditions.is_empty() {
                    through["where"] = self.conditions(conditions, join);
                }
                if !added.is_empty() {
                    through["select"] = select(added, join);
                }
                out.insert("through".into(), through);
            }
        }
        if child.one {
            out.insert("one".into(), json!(true));
        }
        Value::Object(out)
    }

    fn step(&self, step: &Step, table: &Table, added: Option<&Table>, children: &[Child]) -> Value {
        match step {
            Step::Where(conditions) => json!({ "where": self.conditions(conditions, table) }),
            Step::WhereJoined { row, join } => {
                let mut all = self.each(row, table);
                all.extend(self.each(join, added.expect("a join row that adds fields")));
                json!({ "where": { "all": all } })
            }
            Step::OrderBy(terms) => json!({ "order_by": order_by(terms, table, added) }),
            Step::Offset(count) => json!({ "offset": self.operand(count) }),
            Step::Limit(count) => json!({ "limit": self.operand(count) }),
            Step::Filter { column, least } => {
                let args = json!({ "least": self.operand(least) });
                json!({ "filter": { "node": "at-least", "args": args, "input": [table.columns[*column].name] } })
            }
            Step::Map { column, add, into } => {
                let args = json!({ "add": self.operand(add) });
                json!({ "map": { "node": "score", "into": into, "args": args, "input": [table.columns[*column].name] } })
            }
            Step::Reduce { field } => json!({ "reduce": { "node": "tally", "args": { "field": field } } }),
            Step::Select(columns) => {
                let mut list = select(columns, table);
                let children = children.iter().map(|child| json!(child.field));
                let added = added.iter().flat_map(|added| &added.columns).map(|column| json!(column.name));
                list.as_array_mut().expect("a list").extend(children.chain(added));
                json!({ "select": list })
            }
        }
    }

    /// One object if the conditions are on different members, else `all`.
    fn conditions(&self, conditions: &[Condition], table: &Table) -> Value {
        let mut merged = Map::new();
        for condition in conditions {
            let Value::Object(members) = self.condition(condition, table) else {
                unreachable!("a condition is an object")
            };
            for (name, member) in members {
                if merged.insert(name, member).is_some() {
                    return json!({ "all": self.each(conditions, table) });
                }
            }
        }
        Value::Object(merged)
    }

    fn each(&self, conditions: &[Condition], table: &Table) -> Vec<Value> {
        conditions.iter().map(|condition| self.condition(condition, table)).collect()
    }

    fn condition(&self, condition: &Condition, table: &Table) -> Value {
        match condition {
            Condition::All(conditions) => json!({ "all": self.each(conditions, table) }),
            Condition::Any(conditions) => json!({ "any": self.each(conditions, table) }),
            Condition::Not(inner) => json!({ "not": self.condition(inner, table) }),
            Condition::Computed { field, comparison, with } => json!({ field: { comparison.name: with.json } }),
            Condition::Column { column, test, wrapped } => {
                let name = table.columns[*column].name.clone();
                let wrapped = *wrapped || WORDS.contains(&name.as_str());
                let member = json!({ name: self.test(test) });
                if wrapped { json!({ "columns": member }) } else { member }
            }
        }
    }

    fn test(&self, test: &Test) -> Value {
        match test {
            Test::IsNull { negated: false } => Value::Null,
            Test::IsNull { negated: true } => json!({ "ne": null }),
            // A plain value is `eq`; both forms are generated, since a constant and a parameter take turns.
            Test::Compare(comparison, operand @ Operand::Constant(_)) if comparison.name == "eq" => {
                self.operand(operand)
            }
            Test::Compare(comparison, operand) => json!({ comparison.name: self.operand(operand) }),
            Test::In { negated, list } => {
                let list = match list {
                    List::Constants(values) => values.iter().map(|value| value.json.clone()).collect(),
                    List::Param(index) => self.param(*index),
                };
                json!({ if *negated { "not_in" } else { "in" }: list })
            }
            Test::Like { fold, pattern } => json!({ if *fold { "ilike" } else { "like" }: self.operand(pattern) }),
            Test::Contains(literal) => json!({ "contains": literal.json }),
            Test::Overlaps(literal) => json!({ "overlaps": literal.json }),
        }
    }

    fn operand(&self, operand: &Operand) -> Value {
        match operand {
            Operand::Constant(literal) => literal.json.clone(),
            Operand::Param(index) => self.param(*index),
        }
    }

    fn param(&self, index: usize) -> Value {
        json!(format!("${}", self.params[index].name))
    }
}

fn order_by(terms: &[Order], table: &Table, added: Option<&Table>) -> Value {
    let term = |term: &Order| {
        let name = match &term.by {
            By::Column(column) => &table.columns[*column].name,
            By::Joined(column) => &added.expect("a join row that adds fields").columns[*column].name,
            By::Computed(field) => field,
        };
        match term.nulls_first {
            None if term.descending => json!(format!("-{name}")),
            None => json!(name),
            Some(first) => {
                json!({ "by": name, "desc": term.descending, "nulls": if first { "first" } else { "last" } })
            }
        }
    };
    terms.iter().map(term).collect()
}

fn select(columns: &[(usize, String)], table: &Table) -> Value {
    let column = |(index, name): &(usize, String)| {
        let own = &table.columns[*index].name;
        if own == name { json!(own) } else { json!({ name: own }) }
    };
    columns.iter().map(column).collect()
}
