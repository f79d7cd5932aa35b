//! JSON values: what columns decode to, what nodes answer, what documents are made of.

use std::sync::Arc;

use super::List;

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
pub struct Object {
    pub(super) shape: Arc<Shape>,
    pub(super) values: Arc<[Value]>,
}

/// Member names, in order, each once.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    pub(super) names: Box<[Arc<str>]>,
}

/// The text is not JSON.
#[derive(Debug, thiserror::Error)]
#[error("not valid JSON: {0}")]
pub struct ParseJsonError(#[from] serde_json::Error);

impl Shape {
    /// A shape of these names; a repeated one counts once.
    pub fn new(names: impl IntoIterator<Item = Arc<str>>) -> Arc<Self> {
        let mut unique: Vec<Arc<str>> = Vec::new();
        for name in names {
            if !unique.contains(&name) {
                unique.push(name);
            }
        }
        Arc::new(Shape { names: unique.into() })
    }

    /// The index of `name`.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|have| &**have == name)
    }

    /// The names, in order.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }
}

impl Object {
    /// An object of this shape; `values` in the order of its names.
    pub fn new(shape: Arc<Shape>, values: impl Into<Arc<[Value]>>) -> Self {
        let values = values.into();
        assert_eq!(shape.names.len(), values.len(), "a value for each name of the shape");
        Object { shape, values }
    }

    /// The names of the members.
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// The values, in the order of the shape's names.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The member called `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.shape.index(name).map(|index| &self.values[index])
    }

    /// Whether both are the very same object in memory.
    pub fn is_same(&self, other: &Object) -> bool {
        Arc::ptr_eq(&self.values, &other.values) && Arc::ptr_eq(&self.shape, &other.shape)
    }
}

impl Value {
    /// Reads JSON text. Of repeated members the last counts.
    pub fn parse_json(_text: &str) -> Result<Value, ParseJsonError> {
        unimplemented!()
    }

    /// Appends the value's JSON text, without white space.
    pub fn write_json(&self, _out: &mut String) {
        unimplemented!()
    }

    /// The value's JSON text, without white space.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    /// The text that Postgres gives for this value as `jsonb`: members sorted by length, then bytes; `": "` and `", "`.
    pub fn jsonb_text(&self) -> String {
        unimplemented!()
    }

    /// An object of these members; of a repeated name the last value counts.
    pub fn object(_members: impl IntoIterator<Item = (Arc<str>, Value)>) -> Value {
        unimplemented!()
    }

    /// Whether both are the same in memory, or equal scalars: a cheap test that never says yes of different values.
    pub fn is_same(&self, _other: &Value) -> bool {
        unimplemented!()
    }
}

impl PartialEq for Value {
    fn eq(&self, _other: &Value) -> bool {
        unimplemented!()
    }
}
