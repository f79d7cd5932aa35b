//! The small parts of the syntax: operands, counts, orders, selections.

use super::{Count, ORDER, Operand, OperandKind, OrderBy, Param, Pick, Term};
use crate::query::fields::{Fields, list, text};
use crate::query::problem::{Path, Problems};
use crate::query::tree::{Kind, Name, Tree};

/// What a text that may be a parameter is.
enum Dollar {
    /// A plain text, its escape removed.
    Literal(String),
    Param(Param),
}

fn dollar(text: &str) -> Result<Dollar, String> {
    let Some(rest) = text.strip_prefix('$') else { return Ok(Dollar::Literal(text.to_string())) };
    if rest.starts_with('$') {
        return Ok(Dollar::Literal(rest.to_string()));
    }
    if let Some(claim) = rest.strip_prefix("auth.") {
        let path: Vec<String> = claim.split('.').map(str::to_string).collect();
        return if path.iter().all(|part| !part.is_empty()) {
            Ok(Dollar::Param(Param::Claim(path)))
        } else {
            Err(format!("\"{text}\" names no claim: write `$auth.sub`"))
        };
    }
    if rest == "auth" {
        return Err("`$auth` is not a value: say which claim, such as `$auth.sub`".to_string());
    }
    if is_param_name(rest) {
        return Ok(Dollar::Param(Param::Named(rest.to_string())));
    }
    Err(format!("\"{text}\" is not a parameter's name: a literal that begins with `$` is written `$${rest}`"))
}

/// A value that is no parameter, the escapes of its texts removed.
pub(super) fn read_literal(tree: &Tree, path: &Path, problems: &mut Problems) -> Tree {
    let kind = match &tree.kind {
        Kind::Text(text) => match dollar(text) {
            Ok(Dollar::Literal(text)) => Kind::Text(text),
            Ok(Dollar::Param(_)) => {
                let message =
                    format!("\"{text}\" would be a parameter, which cannot stand here: write `$${}`", &text[1..]);
                problems.push(tree.place, path, message);
                tree.kind.clone()
            }
            Err(message) => {
                problems.push(tree.place, path, message);
                tree.kind.clone()
            }
        },
        Kind::List(elements) => {
            Kind::List(elements.iter().map(|element| read_literal(element, path, problems)).collect())
        }
        other => other.clone(),
    };
    Tree { place: tree.place, kind }
}

/// Whether a parameter can have this name: a letter or `_`, then letters, digits, `_` and `-`.
pub fn is_param_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}

/// A literal, a parameter, or a list of both.
pub fn read_operand(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<Operand> {
    let kind = match &tree.kind {
        Kind::Text(text) => match dollar(text) {
            Ok(Dollar::Literal(text)) => OperandKind::Literal(Tree { place: tree.place, kind: Kind::Text(text) }),
            Ok(Dollar::Param(param)) => OperandKind::Param(param),
            Err(message) => {
                problems.push(tree.place, path, message);
                return None;
            }
        },
        Kind::List(items) if items.iter().any(is_param) => {
            OperandKind::List(items.iter().filter_map(|item| read_operand(item, path, problems)).collect())
        }
        _ => OperandKind::Literal(literal(tree, path, problems)),
    };
    Some(Operand { place: tree.place, kind })
}

fn is_param(tree: &Tree) -> bool {
    matches!(&tree.kind, Kind::Text(text) if matches!(dollar(text), Ok(Dollar::Param(_))))
}

/// A copy with every text's escape removed; parameters inside are reported.
fn literal(tree: &Tree, path: &Path, problems: &mut Problems) -> Tree {
    let kind = match &tree.kind {
        Kind::Text(text) => match dollar(text) {
            Ok(Dollar::Literal(text)) => Kind::Text(text),
            Ok(Dollar::Param(param)) => {
                problems.push(tree.place, path, format!("{param} cannot stand inside a literal"));
                Kind::Null
            }
            Err(message) => {
                problems.push(tree.place, path, message);
                Kind::Null
            }
        },
        Kind::List(items) => Kind::List(items.iter().map(|item| literal(item, path, problems)).collect()),
        Kind::Map(members) => {
            Kind::Map(members.iter().map(|(name, member)| (name.clone(), literal(member, path, problems))).collect())
        }
        scalar => scalar.clone(),
    };
    Tree { place: tree.place, kind }
}

/// A whole number of elements, or a parameter.
pub fn read_count(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<Count> {
    let message = match &tree.kind {
        Kind::Int(int) => match u64::try_from(*int) {
            Ok(count) => return Some(Count::Fixed(count)),
            Err(_) => "must not be negative".to_string(),
        },
        Kind::Number(number) if number.starts_with('-') => "must not be negative".to_string(),
        Kind::Number(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => "is too large".to_string(),
        Kind::Number(_) => "must be a whole number".to_string(),
        Kind::Text(text) => match dollar(text) {
            Ok(Dollar::Param(param)) => return Some(Count::Param(tree.place, param)),
            _ if text.parse::<f64>().is_ok() => format!("must be a whole number: write {text} without quotes"),
            _ => "must be a whole number or a parameter, found a text".to_string(),
        },
        _ => format!("must be a whole number or a parameter, found {}", tree.what()),
    };
    problems.push(tree.place, path, message);
    None
}

/// `order_by`: a list of terms, or a parameter with `choose`.
pub fn read_order(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<OrderBy> {
    if let Kind::Text(text) = &tree.kind
        && let Ok(Dollar::Param(Param::Named(name))) = dollar(text)
    {
        return Some(OrderBy::Chosen(Name { text: name, place: tree.place }));
    }
    Some(OrderBy::Terms(read_terms(tree, path, problems)))
}

/// A list of terms of an order.
pub fn read_terms(tree: &Tree, path: &Path, problems: &mut Problems) -> Vec<Term> {
    let items = list(tree, path, problems);
    items.iter().enumerate().filter_map(|(index, item)| read_term(item, &path.at(index), problems)).collect()
}

fn read_term(tree: &Tree, path: &Path, problems: &mut Problems) -> Option<Term> {
    if let Kind::Text(text) = &tree.kind {
        let (by, descending) = text.strip_prefix('-').map_or((text.as_str(), false), |by| (by, true));
        let by = Name { text: by.to_string(), place: tree.place };
        return Some(Term { by, descending, nulls_first: descending });
    }
    let fields = Fields::open(tree, path, &ORDER, problems)?;
    fields.need("by", problems)?;
    let by = fields.text("by", problems)?;
    let descending = fields.flag("desc", problems);
    let nulls_first = match fields.text("nulls", problems) {
        None => descending,
        Some(nulls) if nulls == *"first" => true,
        Some(nulls) if nulls == *"last" => false,
        Some(nulls) => {
            problems.push(nulls.place, &fields.at("nulls"), "expected \"first\" or \"last\"");
            return None;
        }
    };
    Some(Term { by, descending, nulls_first })
}

/// What an element consists of: at least one name.
pub fn read_element(tree: &Tree, path: &Path, problems: &mut Problems) -> Vec<Pick> {
    if matches!(&tree.kind, Kind::List(items) if items.is_empty()) {
        problems.push(tree.place, path, "names nothing: leave `select` out for every column, or name some");
    }
    read_select(tree, path, problems)
}

/// A list of names, or of `{ title: name }`.
pub fn read_select(tree: &Tree, path: &Path, problems: &mut Problems) -> Vec<Pick> {
    let mut picks: Vec<Pick> = Vec::new();
    for (index, item) in list(tree, path, problems).iter().enumerate() {
        let path = path.at(index);
        let read = match &item.kind {
            Kind::Map(members) => members
                .iter()
                .filter_map(|(title, name)| Some(Pick { title: title.clone(), name: text(name, &path, problems)? }))
                .collect(),
            _ => text(item, &path, problems).map(|name| Pick { title: name.clone(), name }).into_iter().collect(),
        };
        let read: Vec<Pick> = read;
        for pick in read {
            if picks.iter().any(|have| have.title.text == pick.title.text) {
                problems.push(pick.title.place, &path, format!("\"{}\" is selected twice", pick.title.text));
            } else {
                picks.push(pick);
            }
        }
    }
    picks
}
