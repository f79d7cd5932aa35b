//! JSON values: what columns decode to, what nodes answer, what documents are made of.
//!
//! Values are shared, never changed: a clone copies a pointer, and two documents that hold the same row hold the same
//! memory. Equality looks at pointers first, so comparing two versions of a document costs what differs between them.
//! `json_read` and `json_write` turn them from and into text.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use triomphe::ThinArc;

use super::json_write;
use super::number::{IntText, compare_numbers};
use super::{List, ParseJsonError, json_read};

/// A JSON value that is cheap to clone and never changes.
///
/// Equality is that of JSON: numbers by their exact value (`1.0 = 1`), objects whatever the order of their members, a
/// [`List`] as the array it stands for.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    /// A number that is written without fraction or exponent and fits.
    Int(i64),
    /// Any other number, as its JSON text; exact, up to the 131,072 digits of `numeric`.
    Number(Arc<str>),
    Text(Arc<str>),
    /// A plain array: of a column, or in a node's answer.
    Array(Arc<[Value]>),
    Object(Object),
    /// A list of a query: a persistent sequence in order, whose elements have keys.
    List(List<Value>),
}

/// A JSON object: its members' names, shared by all objects of one shape, and their values.
#[derive(Clone, Debug)]
pub struct Object(ThinArc<Arc<Shape>, Value>);

/// Member names, in order, each once.
#[derive(Debug)]
pub struct Shape {
    pub(super) names: Box<[Arc<str>]>,
    /// Indexes of the names in the names' order, made when a shape with many names is first searched.
    sorted: OnceLock<Box<[u32]>>,
}

/// Up to this many names, looking at each is faster than anything cleverer.
const FEW_NAMES: usize = 16;

impl PartialEq for Shape {
    fn eq(&self, other: &Shape) -> bool {
        self.names == other.names
    }
}

impl Eq for Shape {}

impl Shape {
    /// A shape of these names; a repeated one counts once.
    pub fn new(names: impl IntoIterator<Item = Arc<str>>) -> Arc<Self> {
        let mut names: Vec<Arc<str>> = names.into_iter().collect();
        if has_repeated(&names) {
            let mut seen = std::collections::HashSet::new();
            names.retain(|name| seen.insert(name.clone()));
        }
        Shape::of_unique(names)
    }

    fn of_unique(names: Vec<Arc<str>>) -> Arc<Self> {
        Arc::new(Shape { names: names.into(), sorted: OnceLock::new() })
    }

    /// The index of `name`.
    pub fn index(&self, name: &str) -> Option<usize> {
        if self.names.len() <= FEW_NAMES {
            return self.names.iter().position(|have| &**have == name);
        }
        let sorted = self.sorted.get_or_init(|| sorted_indexes(&self.names).into());
        let found = sorted.binary_search_by(|&index| (*self.names[index as usize]).cmp(name));
        found.ok().map(|at| sorted[at] as usize)
    }

    /// The names, in order.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }
}

fn sorted_indexes(names: &[Arc<str>]) -> Vec<u32> {
    let count = u32::try_from(names.len()).expect("an object has fewer members than bytes of text, far below 4 G");
    let mut indexes: Vec<u32> = (0..count).collect();
    indexes.sort_unstable_by(|&a, &b| names[a as usize].cmp(&names[b as usize]));
    indexes
}

fn has_repeated(names: &[Arc<str>]) -> bool {
    if names.len() <= FEW_NAMES {
        return names.iter().enumerate().any(|(index, name)| names[..index].contains(name));
    }
    sorted_indexes(names).windows(2).any(|pair| names[pair[0] as usize] == names[pair[1] as usize])
}

impl Object {
    /// An object of this shape; `values` in the order of its names.
    ///
    /// # Panics
    ///
    /// Without a value for each name of the shape, or with more.
    pub fn new(shape: Arc<Shape>, values: impl IntoIterator<Item = Value>) -> Self {
        let values = ForEachName { left: shape.names.len(), values: values.into_iter() };
        Object(ThinArc::from_header_and_iter(shape, values))
    }

    /// An object of these names and values, which are as many; of a repeated name the last value counts.
    pub(super) fn from_members(names: Vec<Arc<str>>, values: Vec<Value>) -> Self {
        if !has_repeated(&names) {
            return Object::new(Shape::of_unique(names), values);
        }
        let mut places: HashMap<Arc<str>, usize> = HashMap::new();
        let (mut unique, mut last) = (Vec::new(), Vec::new());
        for (name, value) in names.into_iter().zip(values) {
            let place = *places.entry(name.clone()).or_insert(unique.len());
            if place == unique.len() {
                unique.push(name);
                last.push(value);
            } else {
                last[place] = value;
            }
        }
        Object::new(Shape::of_unique(unique), last)
    }

    /// The names of the members.
    pub fn shape(&self) -> &Arc<Shape> {
        &self.0.header.header
    }

    /// The values, in the order of the shape's names.
    pub fn values(&self) -> &[Value] {
        &self.0.slice
    }

    /// Names and values, in the order of the shape.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Value)> {
        self.shape().names.iter().zip(self.values())
    }

    /// The member called `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.shape().index(name).map(|index| &self.values()[index])
    }

    /// Whether both are the very same object in memory.
    pub fn is_same(&self, other: &Object) -> bool {
        std::ptr::eq(self.0.as_ptr(), other.0.as_ptr())
    }
}

/// As many values as a shape has names. (Whoever takes them panics if there are fewer or more.)
struct ForEachName<I> {
    left: usize,
    values: I,
}

impl<I: Iterator> Iterator for ForEachName<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.left = self.left.saturating_sub(1);
        self.values.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: Iterator> ExactSizeIterator for ForEachName<I> {}

impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        if self.is_same(other) {
            return true;
        }
        if Arc::ptr_eq(self.shape(), other.shape()) || self.shape() == other.shape() {
            return self.values() == other.values();
        }
        self.values().len() == other.values().len()
            && self.members().all(|(name, value)| other.get(name).is_some_and(|theirs| theirs == value))
    }
}

/// Texts up to this length are compared by [`Value::is_same`]; longer ones only by their place in memory.
const SHORT_TEXT: usize = 64;

impl Value {
    /// Reads JSON text. Of repeated members the last counts; more than [`MAX_DEPTH`](super::MAX_DEPTH) levels are an
    /// error.
    pub fn parse_json(text: &str) -> Result<Value, ParseJsonError> {
        json_read::read(text, json_read::LoneSurrogates::Refuse)
    }

    /// Reads the JSON text of an array: its elements. The array is the first of at most `levels` levels (and of
    /// [`MAX_DEPTH`](super::MAX_DEPTH)); more are an error.
    pub fn parse_json_array(text: &str, levels: usize) -> Result<Vec<Value>, ParseJsonError> {
        json_read::read_array(text, levels)
    }

    /// Appends the value's JSON text, without white space.
    pub fn write_json(&self, out: &mut String) {
        json_write::write(self, out);
    }

    /// The same with every number as a JSON string of its text, for who cannot hold each exactly.
    pub fn write_json_quoting_numbers(&self, out: &mut String) {
        json_write::write_quoting_numbers(self, out);
    }

    /// The value's JSON text, without white space.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    /// The length of its JSON text in bytes; `None`: more than `most`. Costs O(most), however large the value is.
    pub fn json_len(&self, most: usize) -> Option<usize> {
        json_write::left_of(most, self).map(|left| most - left)
    }

    /// The text that Postgres gives for this value as `jsonb`: members sorted by length, then bytes; `": "` and `", "`.
    pub fn jsonb_text(&self) -> String {
        let mut out = String::new();
        json_write::write_jsonb(self, json_write::Numbers::AsWritten, &mut out);
        out
    }

    /// An object of these members; of a repeated name the last value counts.
    pub fn object(members: impl IntoIterator<Item = (Arc<str>, Value)>) -> Value {
        let (names, values) = members.into_iter().unzip();
        Value::Object(Object::from_members(names, values))
    }

    /// A plain array.
    pub fn array(elements: impl IntoIterator<Item = Value>) -> Value {
        Value::Array(elements.into_iter().collect())
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The elements of an array or a list, in order; `None` of anything else.
    pub fn elements(&self) -> Option<Elements<'_>> {
        match self {
            Value::Array(elements) => Some(Elements::Array(elements.iter())),
            Value::List(list) => Some(Elements::List(Box::new(values_of(list)))),
            _ => None,
        }
    }

    /// Whether both are the same in memory, or equal scalars: a cheap test that never says yes of different values.
    pub fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Number(a), Value::Number(b)) | (Value::Text(a), Value::Text(b)) => {
                Arc::ptr_eq(a, b) || (a.len() <= SHORT_TEXT && a == b)
            }
            (Value::Array(a), Value::Array(b)) => Arc::ptr_eq(a, b),
            (Value::Object(a), Value::Object(b)) => a.is_same(b),
            (Value::List(a), Value::List(b)) => is_same_list(a, b),
            _ => false,
        }
    }

    /// Whether both are written alike: what a guest could tell apart, such as `1.0` and `1`, is not.
    pub fn is_written_alike(&self, other: &Value) -> bool {
        self.is_same(other) || (self == other && self.to_json() == other.to_json())
    }
}

/// Iterates over the elements of an array or a list: see [`Value::elements`].
pub enum Elements<'a> {
    Array(std::slice::Iter<'a, Value>),
    List(Box<dyn Iterator<Item = &'a Value> + 'a>),
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a Value;

    fn next(&mut self) -> Option<&'a Value> {
        match self {
            Elements::Array(elements) => elements.next(),
            Elements::List(elements) => elements.next(),
        }
    }
}

fn values_of(list: &List<Value>) -> impl Iterator<Item = &Value> {
    list.iter().map(|(_, value)| value)
}

fn is_same_list(a: &List<Value>, b: &List<Value>) -> bool {
    a.is_same(b)
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Number(a), Value::Number(b)) => Arc::ptr_eq(a, b) || a == b || compare_numbers(a, b).is_eq(),
            (Value::Int(int), Value::Number(number)) | (Value::Number(number), Value::Int(int)) => {
                compare_numbers(IntText::new(*int).as_str(), number).is_eq()
            }
            (Value::Text(a), Value::Text(b)) => Arc::ptr_eq(a, b) || a == b,
            (Value::Object(a), Value::Object(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => Arc::ptr_eq(a, b) || a == b,
            (Value::List(a), Value::List(b)) if is_same_list(a, b) => true,
            _ => match (self.elements(), other.elements()) {
                (Some(a), Some(b)) => a.eq(b),
                _ => false,
            },
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text.into())
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Value::Text(text)
    }
}

impl From<Vec<Value>> for Value {
    fn from(elements: Vec<Value>) -> Self {
        Value::Array(elements.into())
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests;
