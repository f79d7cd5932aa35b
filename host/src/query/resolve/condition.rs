//! Conditions: columns found, values typed, comparisons that cannot be reproduced refused.

use std::sync::Arc;

use super::Resolver;
use super::scope::{Found, Scope, common_class};
use crate::data::{ColumnType, Comparison, Decode, Expr, Field, KeyClass, Operand as Value, Value as Json};
use crate::query::literal::{Parsed, parse_literal};
use crate::query::problem::{Path, Place};
use crate::query::syntax::{Condition, Op, Operand, OperandKind, Param};
use crate::query::tree::{Kind, Tree};

impl Resolver<'_> {
    /// A condition of a query. `indexed`: it decides which rows a list starts from, where some tests on parameters cost
    /// more than others.
    pub fn condition(&mut self, scope: &Scope, condition: &Condition, path: &Path, indexed: bool) -> Option<Expr> {
        let warned = self.warnings.len();
        let expr = self.expr(scope, condition, path, indexed);
        if !indexed {
            self.warnings.truncate(warned);
        }
        expr
    }

    /// A condition of a table's rules: its only parameters are claims, since clients set all others.
    pub fn rule_condition(&mut self, table: usize, condition: &Condition, path: &Path) -> Option<Expr> {
        let mut named = Vec::new();
        named_params(condition, &mut named);
        for (place, param) in named {
            self.fail(place, path, format!("{param}: a table's rules can use claims (`$auth.sub`) only"));
        }
        self.condition(&Scope::columns(table), condition, path, true)
    }

    fn expr(&mut self, scope: &Scope, condition: &Condition, path: &Path, top: bool) -> Option<Expr> {
        Some(match condition {
            Condition::All(all) => {
                let all: Vec<_> = all.iter().map(|one| self.expr(scope, one, path, top)).collect();
                Expr::All(all.into_iter().collect::<Option<_>>()?)
            }
            Condition::Any(any) => {
                let any: Vec<_> = any.iter().map(|one| self.expr(scope, one, path, false)).collect();
                Expr::Any(any.into_iter().collect::<Option<_>>()?)
            }
            Condition::Not(not) => Expr::Not(Box::new(self.expr(scope, not, path, false)?)),
            Condition::IsNull(field) => Expr::IsNull(self.find(scope, field, &path.then(&field.text))?.field),
            Condition::Test { field, op, with } => {
                let path = path.then(&field.text);
                let found = self.find(scope, field, &path)?;
                // A field is tested where it is made, for no more than one list's elements.
                if matches!(found.field, Field::Column(_)) {
                    self.warn_if_slow(*op, with, &path, top);
                }
                self.test(found, *op, with, &path)?
            }
        })
    }

    /// Of a condition on a parameter that is neither an equality nor a range which every row must meet.
    fn warn_if_slow(&mut self, op: Op, with: &Operand, path: &Path, top: bool) {
        let has_index = matches!(op, Op::Eq | Op::Lt | Op::Lte | Op::Gt | Op::Gte);
        let Some(shown) = shown_params(with).filter(|_| !(top && has_index)) else { return };
        let within = if has_index { " within `any` or `not`" } else { "" };
        let message = format!(
            "`{}: {shown}`{within} has no index: each live document is tested for each changed row; an equality or a range \
             (lt, lte, gt, gte) on a parameter beside it leaves fewer to test",
            op.key()
        );
        self.warn(with.place, path, message);
    }

    fn test(&mut self, found: Found, op: Op, with: &Operand, path: &Path) -> Option<Expr> {
        let compare = |this: &mut Self, comparison| this.compare(&found, comparison, with, path);
        match op {
            Op::Eq => compare(self, Comparison::Eq),
            Op::Ne => compare(self, Comparison::Ne),
            Op::Lt => compare(self, Comparison::Lt),
            Op::Lte => compare(self, Comparison::Lte),
            Op::Gt => compare(self, Comparison::Gt),
            Op::Gte => compare(self, Comparison::Gte),
            Op::In => self.is_in(&found, with, path),
            Op::NotIn => Some(Expr::Not(Box::new(self.is_in(&found, with, path)?))),
            Op::Like => self.like(found, with, path, false),
            Op::Ilike => self.like(found, with, path, true),
            Op::Contains => self.contains(found, with, path),
            Op::Overlaps => self.overlaps(found, with, path),
        }
    }

    /// `field op value`.
    pub fn compare(&mut self, found: &Found, op: Comparison, with: &Operand, path: &Path) -> Option<Expr> {
        let (class, with) = match &found.ty {
            None => (KeyClass::Json, self.json_operand(with, path)?),
            Some(ty) => {
                let class = self.class(found, ty, with.place, path)?;
                self.operand(found, ty, class, with, path)?
            }
        };
        Some(Expr::Compare { field: found.field.clone(), class, op, with })
    }

    /// The class of a column's type; reports a type whose comparison is not reproduced.
    pub fn class(&mut self, found: &Found, ty: &ColumnType, place: Place, path: &Path) -> Option<KeyClass> {
        if ty.class.is_none() {
            let message = format!(
                "{} is {}: comparing this type is not supported, since its equality or order is not reproduced exactly",
                found.label, ty.sql
            );
            self.fail(place, path, message);
        }
        ty.class.clone()
    }

    /// A literal or parameter that a column is compared with, and the class of that comparison.
    fn operand(
        &mut self,
        found: &Found,
        ty: &Arc<ColumnType>,
        class: KeyClass,
        with: &Operand,
        path: &Path,
    ) -> Option<(KeyClass, Value)> {
        match &with.kind {
            OperandKind::Literal(tree) => {
                let value = self.literal(ty, tree, path)?;
                let fraction = class == KeyClass::Int && matches!(tree.kind, Kind::Number(_));
                Some((if fraction { KeyClass::Numeric } else { class }, value))
            }
            OperandKind::Param(param) => {
                let (index, own) = self.typed(found, ty, param, with.place, path)?;
                let Some(class) = common_class(ty, &own) else {
                    self.fail(with.place, path, mismatch(found, ty, param, &own));
                    return None;
                };
                Some((class, Value::Param(index)))
            }
            OperandKind::List(_) => {
                self.fail(with.place, path, "expected one value, found a list");
                None
            }
        }
    }

    /// The index of a parameter that is compared with a value of type `ty`, and its own type.
    fn typed(
        &mut self,
        found: &Found,
        ty: &Arc<ColumnType>,
        param: &Param,
        place: Place,
        path: &Path,
    ) -> Option<(usize, Arc<ColumnType>)> {
        match self.params.compare(param, place, ty, &found.label) {
            Ok(typed) => Some(typed),
            Err(message) => {
                self.fail(place, path, message);
                None
            }
        }
    }

    fn literal(&mut self, ty: &Arc<ColumnType>, tree: &Tree, path: &Path) -> Option<Value> {
        match parse_literal(ty, tree) {
            Parsed::Value(value) => Some(Value::Value(value)),
            Parsed::Ask(text) => Some(Value::Param(self.params.literal(ty, text, tree.place))),
            Parsed::Invalid(message) => {
                self.fail(tree.place, path, message);
                None
            }
        }
    }

    /// What a field is compared with of which only the JSON is known.
    fn json_operand(&mut self, with: &Operand, path: &Path) -> Option<Value> {
        match &with.kind {
            OperandKind::Literal(tree) => Some(Value::Value(tree.to_value())),
            OperandKind::Param(param) => Some(Value::Param(self.params.mention(param, with.place))),
            OperandKind::List(_) => {
                self.fail(with.place, path, "expected one value, found a list");
                None
            }
        }
    }

    /// `field in list`; a list with parameters, or with literals that Postgres must read, becomes a disjunction.
    fn is_in(&mut self, found: &Found, with: &Operand, path: &Path) -> Option<Expr> {
        let items: Vec<Operand> = match &with.kind {
            OperandKind::Param(param) => return self.is_in_param(found, param, with.place, path),
            OperandKind::List(items) => items.clone(),
            OperandKind::Literal(Tree { kind: Kind::List(items), .. }) => {
                let operand = |tree: &Tree| Operand { place: tree.place, kind: OperandKind::Literal(tree.clone()) };
                items.iter().map(operand).collect()
            }
            OperandKind::Literal(tree) => {
                self.fail(tree.place, path, format!("expected a list or a parameter, found {}", tree.what()));
                return None;
            }
        };
        let tests: Vec<_> = items.iter().map(|item| self.compare(found, Comparison::Eq, item, path)).collect();
        let tests = tests.into_iter().collect::<Option<Vec<_>>>()?;
        Some(as_list(&tests).unwrap_or(Expr::Any(tests)))
    }

    fn is_in_param(&mut self, found: &Found, param: &Param, place: Place, path: &Path) -> Option<Expr> {
        let Some(ty) = &found.ty else {
            let list = Value::Param(self.params.mention(param, place));
            return Some(Expr::In { field: found.field.clone(), class: KeyClass::Json, list });
        };
        self.class(found, ty, place, path)?;
        let array = self.array_of(ty);
        let (index, own) = self.typed(found, &array, param, place, path)?;
        let Some(element) = &own.element else {
            let message = format!("{param} is {}: `in` needs an array, such as {}[]", own.sql, own.sql);
            self.fail(place, path, message);
            return None;
        };
        let Some(class) = common_class(ty, element) else {
            self.fail(place, path, mismatch(found, ty, param, &own));
            return None;
        };
        Some(Expr::In { field: found.field.clone(), class, list: Value::Param(index) })
    }

    /// The type of arrays of `ty`.
    fn array_of(&self, ty: &Arc<ColumnType>) -> Arc<ColumnType> {
        let sql = format!("{}[]", ty.sql);
        self.catalogue.find_type(&sql).cloned().unwrap_or_else(|| {
            Arc::new(ColumnType {
                oid: 0,
                sql: sql.into(),
                decode: Decode::Array { element: Box::new(ty.decode.clone()), delimiter: b',' },
                class: None,
                element: Some(ty.clone()),
            })
        })
    }

    fn like(&mut self, found: Found, with: &Operand, path: &Path, fold: bool) -> Option<Expr> {
        let pattern = match &found.ty {
            None => self.json_operand(with, path)?,
            Some(ty) if matches!(ty.class, Some(KeyClass::Text | KeyClass::BpChar)) => {
                let class = self.class(&found, ty, with.place, path)?;
                let (class, pattern) = self.operand(&found, ty, class, with, path)?;
                debug_assert!(
                    matches!(class, KeyClass::Text | KeyClass::BpChar),
                    "only texts are comparable with texts"
                );
                pattern
            }
            Some(ty) => {
                self.fail(with.place, path, format!("{} is {}: `like` compares texts", found.label, ty.sql));
                return None;
            }
        };
        Some(Expr::Like { field: found.field, pattern, fold })
    }

    /// `field @> value`, of jsonb and of arrays.
    fn contains(&mut self, found: Found, with: &Operand, path: &Path) -> Option<Expr> {
        let element = match &found.ty {
            None => None,
            Some(ty) if &*ty.sql == "jsonb" => None,
            Some(ty) => Some(self.element_class(&found, ty, "contains", with.place, path)?),
        };
        let with = self.array_operand(&found, element.is_some(), with, path)?;
        Some(Expr::Contains { field: found.field, element, with })
    }

    /// `field && value`, of arrays.
    fn overlaps(&mut self, found: Found, with: &Operand, path: &Path) -> Option<Expr> {
        let element = match &found.ty {
            None => KeyClass::Json,
            Some(ty) => self.element_class(&found, ty, "overlaps", with.place, path)?,
        };
        let with = self.array_operand(&found, true, with, path)?;
        Some(Expr::Overlaps { field: found.field, element, with })
    }

    fn element_class(
        &mut self,
        found: &Found,
        ty: &ColumnType,
        op: &str,
        place: Place,
        path: &Path,
    ) -> Option<KeyClass> {
        let class = ty.element.as_ref().and_then(|element| element.class.clone());
        if class.is_none() {
            let message = match ty.element {
                Some(_) => format!("{} is {}: comparing its elements is not supported", found.label, ty.sql),
                None => format!(
                    "{} is {}: `{op}` compares arrays{}",
                    found.label,
                    ty.sql,
                    if op == "contains" { " and jsonb" } else { "" }
                ),
            };
            self.fail(place, path, message);
        }
        class
    }

    /// What an array or jsonb is compared with.
    fn array_operand(&mut self, found: &Found, array: bool, with: &Operand, path: &Path) -> Option<Value> {
        let (tree, ty) = match (&with.kind, &found.ty) {
            (OperandKind::Literal(tree), Some(ty)) => (tree, ty),
            (OperandKind::Param(param), Some(ty)) => {
                let (index, own) = self.typed(found, ty, param, with.place, path)?;
                if own.sql == ty.sql {
                    return Some(Value::Param(index));
                }
                self.fail(with.place, path, mismatch(found, ty, param, &own));
                return None;
            }
            _ => return self.json_operand(with, path),
        };
        let element = ty.element.as_ref().filter(|_| array);
        match (&tree.kind, element) {
            (Kind::List(items), Some(element)) => self.array_literal(element, items, path),
            (Kind::Text(text), Some(_)) => Some(Value::Param(self.params.literal(ty, text.clone(), tree.place))),
            (_, Some(_)) => {
                self.fail(tree.place, path, format!("expected a list, found {}", tree.what()));
                None
            }
            (_, None) => Some(Value::Value(tree.to_value())),
        }
    }

    fn array_literal(&mut self, element: &Arc<ColumnType>, items: &[Tree], path: &Path) -> Option<Value> {
        let mut values = Vec::new();
        for item in items {
            match parse_literal(element, item) {
                Parsed::Value(value) => values.push(value),
                Parsed::Ask(text) => {
                    let message =
                        format!("write \"{text}\" as Postgres shows it, or the whole array as its text, \"{{...}}\"");
                    self.fail(item.place, path, message);
                    return None;
                }
                Parsed::Invalid(message) => {
                    self.fail(item.place, path, message);
                    return None;
                }
            }
        }
        Some(Value::Value(Json::Array(values.into())))
    }
}

/// An operand with parameters, as it is written; literals beside them are left out.
fn shown_params(with: &Operand) -> Option<String> {
    match &with.kind {
        OperandKind::Param(param) => Some(param.to_string()),
        OperandKind::List(items) => {
            let params: Vec<String> = items.iter().filter_map(shown_params).collect();
            let rest = if params.len() < items.len() { ", ..." } else { "" };
            (!params.is_empty()).then(|| format!("[{}{rest}]", params.join(", ")))
        }
        OperandKind::Literal(_) => None,
    }
}

/// `a = 1 or a = 2` as `a in [1, 2]`, if all are literals of one class.
fn as_list(tests: &[Expr]) -> Option<Expr> {
    let Some(Expr::Compare { field, class, .. }) = tests.first() else {
        return None;
    };
    let mut values = Vec::new();
    for test in tests {
        match test {
            Expr::Compare { class: own, with: Value::Value(value), .. } if own == class => values.push(value.clone()),
            _ => return None,
        }
    }
    let list = Value::Value(Json::Array(values.into()));
    Some(Expr::In { field: field.clone(), class: class.clone(), list })
}

fn mismatch(found: &Found, ty: &ColumnType, param: &Param, own: &ColumnType) -> String {
    format!("{} is {}, {param} is declared {}: these types are not compared", found.label, ty.sql, own.sql)
}

fn named_params(condition: &Condition, out: &mut Vec<(Place, Param)>) {
    match condition {
        Condition::All(all) | Condition::Any(all) => all.iter().for_each(|one| named_params(one, out)),
        Condition::Not(not) => named_params(not, out),
        Condition::IsNull(_) => {}
        Condition::Test { with, .. } => named_operand(with, out),
    }
}

fn named_operand(operand: &Operand, out: &mut Vec<(Place, Param)>) {
    match &operand.kind {
        OperandKind::Param(param @ Param::Named(_)) => out.push((operand.place, param.clone())),
        OperandKind::List(items) => items.iter().for_each(|item| named_operand(item, out)),
        _ => {}
    }
}
