//! Generated queries over a generated schema.

use serde_json::json;

use super::dice::Dice;
use super::kinds::{Kind, Literal};
use super::query::{
    Binding, By, COMPARISONS, Child, Condition, Form, Level, Link, List, Operand, Order, Param, Query, Rule, Step, Test,
};
use super::schema_gen::{Column, Schema, Table};

/// How deep a query nests at most, its root included.
const DEPTH: usize = 4;
/// How many levels a query has at most.
const LEVELS: usize = 7;

/// Generates one query.
pub struct QueryGen<'a> {
    dice: &'a mut Dice,
    schema: &'a Schema,
    rules: &'a [Rule],
    params: Vec<Param>,
    levels: usize,
    /// Whether steps may call nodes.
    nodes: bool,
}

/// Rules for some of the tables.
pub fn rules(dice: &mut Dice, schema: &Schema) -> Vec<Rule> {
    let mut rules: Vec<Rule> = schema.tables.iter().map(|_| Rule::default()).collect();
    for (index, table) in schema.tables.iter().enumerate() {
        if dice.chance(0.08) {
            rules[index].conditions = QueryGen::new(dice, schema, &[]).conditions(table, false, 1);
        }
        if !table.key.is_empty() && dice.chance(0.15) {
            rules[index].hidden = dice.some(&table.plain_columns(), 0.3);
        }
    }
    rules
}

/// A query of this name.
pub fn query(dice: &mut Dice, schema: &Schema, rules: &[Rule], name: String, nodes: bool) -> Query {
    let mut generator = QueryGen::new(dice, schema, rules);
    generator.nodes = nodes;
    let root = generator.root();
    Query { name, params: generator.params, root }
}

/// Values for the parameters of a query, and the path that asks for them.
pub fn binding(dice: &mut Dice, query: &Query) -> (Vec<Binding>, String) {
    let mut path = format!("/{}", query.name);
    let mut keys = Vec::new();
    let bindings = query.params.iter().map(|param| {
        let given = !(param.optional || param.default.is_some()) || dice.chance(0.6);
        if !given {
            return param.default.clone().map(|default| vec![default]);
        }
        let many = if param.form == Form::Array { dice.between(1, 4) } else { 1 };
        let values: Vec<Literal> = (0..many).map(|_| param_value(dice, param)).collect();
        for value in &values {
            let text = percent(&value.text);
            if param.in_route {
                path.push_str(&format!("/{text}"));
            } else {
                keys.push(format!("{}={text}", percent(&param.name)));
            }
        }
        Some(values)
    });
    let bindings = bindings.collect();
    let separator = if keys.is_empty() { "" } else { "?" };
    (bindings, format!("{path}{separator}{}", keys.join("&")))
}

fn param_value(dice: &mut Dice, param: &Param) -> Literal {
    match &param.column {
        Some(column) => column.constant(dice),
        None => count(dice.between(0, 6)),
    }
}

fn count(n: usize) -> Literal {
    Literal { sql: n.to_string(), json: json!(n), text: n.to_string() }
}

/// Encodes everything that is not plainly allowed anywhere in a URL.
pub fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

impl<'a> QueryGen<'a> {
    fn new(dice: &'a mut Dice, schema: &'a Schema, rules: &'a [Rule]) -> Self {
        QueryGen { dice, schema, rules, params: Vec::new(), levels: 0, nodes: false }
    }

    fn root(&mut self) -> Level {
        let tables = self.schema.tables.len();
        let table = self.dice.between(0, tables - 1);
        let key = &self.schema.tables[table].key;
        let unique: Vec<usize> = self.schema.tables[table].unique.into_iter().collect();
        // A pair of keys out of a large domain hardly ever exists.
        let sparse = key.len() > 1 && self.schema.tables[table].partitions.is_none();
        let get = match self.dice.weighted(&[5, 6, 2]) {
            0 if sparse && self.dice.chance(0.7) => Vec::new(),
            0 => key.clone(),
            1 => Vec::new(),
            _ => unique,
        };
        let mut level = self.level(table, None, 1, !get.is_empty());
        for column in get {
            let operand = self.operand(&self.schema.tables[table].columns[column], 0.8, true);
            level.get.push((column, operand));
        }
        level
    }

    fn level(&mut self, index: usize, link: Option<&Link>, depth: usize, single: bool) -> Level {
        self.levels += 1;
        let added = link.and_then(|link| link.added(self.schema, true));
        let added = added.as_ref();
        let table = &self.schema.tables[index];
        let mut level = Level {
            table: index,
            get: Vec::new(),
            conditions: Vec::new(),
            order: Vec::new(),
            offset: None,
            limit: None,
            select: self.select(index, depth),
            children: Vec::new(),
            steps: Vec::new(),
        };
        if self.dice.chance(if single { 0.07 } else { 0.35 }) {
            level.conditions = self.conditions(table, true, 2);
        }
        if !single {
            if self.dice.chance(0.5) {
                level.order = self.order(table, added);
            }
            if self.nodes && self.dice.chance(0.6) {
                level.steps = self.node_steps(index, added);
            } else if self.dice.chance(0.35) {
                level.steps = self.steps(table, added);
            } else if self.dice.chance(0.3) {
                level.limit = Some(self.count());
                level.offset = self.dice.chance(0.4).then(|| self.skip());
            }
        }
        let children =
            if depth >= DEPTH { 0 } else { self.dice.weighted(&[[1, 6, 4], [4, 5, 2], [5, 4, 1]][depth - 1]) };
        for number in 0..children {
            if self.levels < LEVELS {
                let child = self.child(index, depth, number);
                level.children.extend(child);
            }
        }
        if self.dice.chance(0.1) && !single && level.select.is_none() && !self.nodes {
            let columns = self.select(index, DEPTH).unwrap_or_default();
            if !columns.is_empty() {
                level.steps.push(Step::Select(columns));
                // Then a limit would stand beside steps; a `select` drops nothing, so that is allowed.
            }
        }
        level
    }

    /// Plain steps; `added`: what join rows have added.
    fn steps(&mut self, table: &Table, added: Option<&Table>) -> Vec<Step> {
        (0..self.dice.between(1, 4))
            .map(|_| match self.dice.weighted(&[3, 3, 1, 3]) {
                0 => match added {
                    Some(added) if self.dice.chance(0.5) => {
                        let row = if self.dice.chance(0.5) { self.conditions(table, true, 1) } else { Vec::new() };
                        Step::WhereJoined { row, join: self.conditions(added, true, 1) }
                    }
                    _ => Step::Where(self.conditions(table, true, 1)),
                },
                1 => Step::OrderBy(self.order(table, added)),
                2 => Step::Offset(self.skip()),
                _ => Step::Limit(self.count()),
            })
            .collect()
    }

    /// Steps with nodes between plain ones.
    fn node_steps(&mut self, index: usize, added: Option<&Table>) -> Vec<Step> {
        let table = &self.schema.tables[index];
        let hidden = self.rules.get(index).map(|rule| rule.hidden.as_slice()).unwrap_or_default();
        let fits = |column: &usize| table.columns[*column].kind == Kind::Int4 && !hidden.contains(column);
        let columns: Vec<usize> = (0..table.columns.len()).filter(fits).collect();
        let mut steps = if self.dice.chance(0.3) { self.steps(table, added) } else { Vec::new() };
        let mut fields: Vec<String> = Vec::new();
        for number in 0..self.dice.between(1, 3) {
            match self.dice.weighted(&[2, 4]) {
                _ if columns.is_empty() => {}
                0 => steps.push(Step::Filter { column: *self.dice.pick(&columns), least: self.count() }),
                _ => {
                    let (column, add) = (*self.dice.pick(&columns), self.count());
                    fields.push(format!("score{number}"));
                    steps.push(Step::Map { column, add, into: format!("score{number}") });
                }
            }
            let Some(field) = fields.last().cloned() else { continue };
            match self.dice.weighted(&[4, 3, 2, 2]) {
                0 => {}
                1 => {
                    let nulls_first = *self.dice.pick(&[None, None, Some(true), Some(false)]);
                    steps.push(Step::OrderBy(vec![Order {
                        by: By::Computed(field),
                        descending: self.dice.chance(0.5),
                        nulls_first,
                    }]));
                }
                2 => {
                    let comparison = &COMPARISONS[self.dice.between(0, 5)];
                    let with = count(self.dice.between(0, 4));
                    steps.push(Step::Where(vec![Condition::Computed { field, comparison, with }]));
                }
                _ => steps.push(Step::Limit(self.count())),
            }
        }
        if let Some(field) = fields.first().filter(|_| self.dice.chance(0.2)) {
            steps.push(Step::Reduce { field: field.clone() });
        }
        steps
    }

    /// Deep levels leave large texts out, so that documents stay of a size that can be compared often.
    fn select(&mut self, index: usize, depth: usize) -> Option<Vec<(usize, String)>> {
        let table = &self.schema.tables[index];
        let hidden = self.rules.get(index).map(|rule| rule.hidden.as_slice()).unwrap_or_default();
        let has_blob = table.columns.iter().any(|column| column.kind == Kind::Blob);
        if !self.dice.chance(if has_blob && depth > 1 { 0.9 } else { 0.4 }) {
            return None;
        }
        let wanted =
            |index: &usize| !hidden.contains(index) && (depth == 1 || table.columns[*index].kind != Kind::Blob);
        let mut columns: Vec<usize> = (0..table.columns.len()).filter(wanted).collect();
        columns = self.dice.some(&columns, 0.6);
        self.dice.shuffle(&mut columns);
        let mut names: Vec<(usize, String)> = Vec::new();
        for (number, column) in columns.into_iter().enumerate() {
            let own = table.columns[column].name.clone();
            let name = match self.dice.weighted(&[8, 1, 1]) {
                0 => own,
                1 => format!("renamed{number}"),
                _ => format!("re/na~med {number}"),
            };
            names.push((column, name));
        }
        (!names.is_empty()).then_some(names)
    }

    fn child(&mut self, parent: usize, depth: usize, number: usize) -> Option<Child> {
        let links = links(self.schema, parent);
        let (child, mut link, inferred, to_one) = if links.is_empty() || self.dice.chance(0.1) {
            self.free_link(parent)?
        } else {
            let at = self.dice.between(0, links.len() - 1);
            links.into_iter().nth(at).expect("within bounds")
        };
        let inferred = inferred && self.dice.chance(0.7);
        if let Link::Through { table, conditions, spelled, select, .. } = &mut link {
            if self.dice.chance(0.25) {
                *conditions = self.conditions(&self.schema.tables[*table], true, 1);
            }
            *spelled = self.dice.chance(0.3);
            if self.dice.chance(0.4) {
                *select = self.joined(*table, child);
            }
        }
        let mut one = self.dice.chance(if to_one { 0.85 } else { 0.15 });
        let field = match self.dice.weighted(&[6, 1]) {
            0 => format!("with{depth}{number}"),
            _ => format!("with/{depth}~{number}"),
        };
        let level = self.level(child, Some(&link), depth + 1, to_one && one);
        // `reduce` answers for a list.
        one &= !matches!(level.steps.last(), Some(Step::Reduce { .. }));
        Some(Child { field, link, inferred, one, level })
    }

    /// Columns of the join table that the element gets, by names that it has not.
    fn joined(&mut self, join: usize, child: usize) -> Vec<(usize, String)> {
        let (table, child) = (&self.schema.tables[join], &self.schema.tables[child]);
        let hidden = self.rules.get(join).map(|rule| rule.hidden.as_slice()).unwrap_or_default();
        let wanted = |index: &usize| !hidden.contains(index) && table.columns[*index].kind != Kind::Blob;
        let mut columns: Vec<usize> = (0..table.columns.len()).filter(wanted).collect();
        columns = self.dice.some(&columns, 0.5);
        self.dice.shuffle(&mut columns);
        let mut names = Vec::new();
        for (number, column) in columns.into_iter().enumerate() {
            let own = table.columns[column].name.clone();
            let taken = child.columns.iter().any(|column| column.name == own);
            let name = match self.dice.weighted(&[if taken { 0 } else { 4 }, 1, 1]) {
                0 => own,
                1 => format!("joined{number}"),
                _ => format!("jo/in~ed {number}"),
            };
            names.push((column, name));
        }
        names
    }

    /// A join of columns that no foreign key names.
    fn free_link(&mut self, parent: usize) -> Option<(usize, Link, bool, bool)> {
        let child = self.dice.between(0, self.schema.tables.len() - 1);
        let (from, to) = (&self.schema.tables[parent], &self.schema.tables[child]);
        let mut pairs = Vec::new();
        for (own, column) in to.columns.iter().enumerate() {
            for (its, other) in from.columns.iter().enumerate() {
                let selective = column.domain.is_some() && other.domain.is_some();
                let joins = |kind: Kind| matches!(kind, Kind::Int4 | Kind::Int8 | Kind::Numeric);
                if selective && (column.kind == other.kind || joins(column.kind) && joins(other.kind)) {
                    pairs.push((own, its));
                }
            }
        }
        if pairs.is_empty() {
            return None;
        }
        Some((child, Link::On(vec![*self.dice.pick(&pairs)]), false, false))
    }

    fn order(&mut self, table: &Table, added: Option<&Table>) -> Vec<Order> {
        let comparable = |table: &Table| -> Vec<usize> {
            (0..table.columns.len()).filter(|&index| table.columns[index].kind.compares()).collect()
        };
        let columns = comparable(table);
        let joined = added.map(comparable).unwrap_or_default();
        let mut terms: Vec<Order> = Vec::new();
        for _ in 0..self.dice.between(1, 2) {
            let by = match self.dice.chance(if joined.is_empty() { 0.0 } else { 0.4 }) {
                true => By::Joined(*self.dice.pick(&joined)),
                false => By::Column(*self.dice.pick(&columns)),
            };
            if terms.iter().all(|term| term.by != by) {
                let nulls_first = match self.dice.weighted(&[3, 1, 1]) {
                    0 => None,
                    1 => Some(true),
                    _ => Some(false),
                };
                terms.push(Order { by, descending: self.dice.chance(0.5), nulls_first });
            }
        }
        terms
    }

    /// One to three conditions that all must hold; `depth` more levels of `all`, `any` and `not` at most.
    pub fn conditions(&mut self, table: &Table, params: bool, depth: usize) -> Vec<Condition> {
        (0..self.dice.weighted(&[0, 7, 2])).map(|_| self.condition(table, params, depth, true)).collect()
    }

    fn condition(&mut self, table: &Table, params: bool, depth: usize, top: bool) -> Condition {
        let each = |generator: &mut Self, least: usize| {
            let count = generator.dice.between(least, 3);
            (0..count).map(|_| generator.condition(table, params, depth - 1, false)).collect()
        };
        match self.dice.weighted(&if depth == 0 { [1, 0, 0, 0] } else { [6, 1, 3, 1] }) {
            0 => self.leaf(table, params, top),
            1 => Condition::All(each(self, 1)),
            2 => Condition::Any(each(self, 1)),
            _ => Condition::Not(Box::new(self.condition(table, params, depth - 1, false))),
        }
    }

    fn leaf(&mut self, table: &Table, params: bool, top: bool) -> Condition {
        let column = self.dice.between(0, table.columns.len() - 1);
        let wrapped = self.dice.chance(0.1);
        let p = if params { 0.35 } else { 0.0 };
        let test = self.test(&table.columns[column], p, top);
        Condition::Column { column, test, wrapped }
    }

    fn test(&mut self, column: &Column, p: f64, top: bool) -> Test {
        if self.dice.chance(0.12) {
            return Test::IsNull { negated: self.dice.chance(0.6) };
        }
        match column.kind {
            Kind::Jsonb => Test::Contains(column.kind.constant(self.dice)),
            Kind::Int4Array | Kind::TextArray if self.dice.chance(0.5) => {
                Test::Overlaps(column.kind.constant(self.dice))
            }
            Kind::Int4Array | Kind::TextArray => Test::Contains(column.kind.constant(self.dice)),
            Kind::Blob => Test::IsNull { negated: true },
            Kind::Text if self.dice.chance(0.35) => {
                let pattern = *self.dice.pick(&["a%", "%b", "_", "%", "", "%O%", "a\\_b", "K%", "é%", "k1_", "%ü%"]);
                let literal = Literal { sql: super::kinds::quote(pattern), json: json!(pattern), text: pattern.into() };
                Test::Like { fold: self.dice.chance(0.5), pattern: Operand::Constant(literal) }
            }
            _ if self.dice.chance(0.25) => self.in_list(column, p),
            _ => {
                let comparison = &COMPARISONS[self.dice.weighted(&[2, 3, 1, 2, 1, 2])];
                Test::Compare(comparison, self.operand(column, p, !top))
            }
        }
    }

    fn in_list(&mut self, column: &Column, p: f64) -> Test {
        let negated = self.dice.chance(0.3);
        let list = if column.kind != Kind::Mood && self.dice.chance(p) {
            List::Param(self.param(Some(column), Form::Array, column.kind, true))
        } else {
            let values = self.dice.weighted(&[1, 1, 3, 5, 5]);
            List::Constants((0..values).map(|_| column.constant(self.dice)).collect())
        };
        Test::In { negated, list }
    }

    /// A value to compare a column with; with probability `p` a parameter. One that may be absent only where a condition
    /// can be left out alone (`needed` is false).
    fn operand(&mut self, column: &Column, p: f64, needed: bool) -> Operand {
        if !self.dice.chance(p) {
            return Operand::Constant(column.constant(self.dice));
        }
        let same = |param: &Param| {
            param.form == Form::Scalar && param.kind == column.kind && !param.optional && param.default.is_none()
        };
        let known = self.params.iter().position(same);
        match known {
            Some(index) if self.dice.chance(0.5) => Operand::Param(index),
            _ => Operand::Param(self.param(Some(column), Form::Scalar, column.kind, needed)),
        }
    }

    fn count(&mut self) -> Operand {
        match self.dice.chance(0.2) {
            true => Operand::Param(self.param(None, Form::Count, Kind::Int4, true)),
            false => Operand::Constant(count(self.dice.weighted(&[1, 3, 5, 5, 3, 3, 2]))),
        }
    }

    /// An offset: small, or nothing is left.
    fn skip(&mut self) -> Operand {
        if self.dice.chance(0.2) { self.count() } else { Operand::Constant(count(self.dice.between(0, 2))) }
    }

    fn param(&mut self, column: Option<&Column>, form: Form, kind: Kind, needed: bool) -> usize {
        let extra = |dice: &mut Dice| match form {
            Form::Array => (None, false),
            Form::Count if dice.chance(0.5) => (Some(count(dice.between(0, 5))), false),
            Form::Count => (None, false),
            // An enum's name needs no declaring, so it gets none.
            Form::Scalar if kind == Kind::Mood => (None, false),
            // Whether `$$` stands for `$` in a default, where no parameter can stand, is left open.
            Form::Scalar if dice.chance(0.15) => {
                let default = column.map(|column| column.constant(dice));
                (default.filter(|default| !default.text.starts_with('$')), false)
            }
            Form::Scalar => (None, !needed && dice.chance(0.3)),
        };
        let (default, optional) = extra(self.dice);
        let in_route = form != Form::Array && default.is_none() && !optional && self.dice.chance(0.5);
        self.params.push(Param {
            name: format!("p{}", self.params.len()),
            kind,
            column: column.cloned(),
            form,
            in_route,
            default,
            optional,
        });
        self.params.len() - 1
    }
}

/// All links that foreign keys give: the child's table, the link, whether it can be inferred, whether it leads to one row.
fn links(schema: &Schema, parent: usize) -> Vec<(usize, Link, bool, bool)> {
    let mut out = Vec::new();
    let pairs = |table: usize, reference: usize| -> Vec<(usize, usize)> {
        let reference = &schema.tables[table].references[reference];
        reference.columns.iter().copied().zip(schema.tables[reference.target].key.iter().copied()).collect()
    };
    let between = |a: usize, b: usize| {
        let one_way = |a: usize, b: usize| schema.tables[a].references.iter().filter(|r| r.target == b).count();
        if a == b { 2 * one_way(a, b) } else { one_way(a, b) + one_way(b, a) }
    };
    for (index, table) in schema.tables.iter().enumerate() {
        for (number, reference) in table.references.iter().enumerate() {
            let inferred = between(index, reference.target) == 1;
            if reference.target == parent {
                out.push((index, Link::On(pairs(index, number)), inferred, false));
            }
            if index == parent {
                let flipped = pairs(index, number).into_iter().map(|(own, its)| (its, own)).collect();
                out.push((reference.target, Link::On(flipped), inferred, true));
            }
            if reference.target != parent {
                continue;
            }
            for (other, target) in table.references.iter().enumerate().filter(|(other, _)| *other != number) {
                let link = Link::Through {
                    table: index,
                    parent: pairs(index, number),
                    child: pairs(index, other),
                    spelled: false,
                    conditions: Vec::new(),
                    select: Vec::new(),
                };
                let single = between(index, parent) == 1 && between(index, target.target) == 1;
                out.push((target.target, link, single && target.target != parent, false));
            }
        }
    }
    out
}
