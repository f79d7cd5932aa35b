//! To serde_json's values and back, for tests, which compare with them.
//!
//! Only tests have its feature `arbitrary_precision`, without which numbers would lose digits on this way.

use super::value::Value;

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match value {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(value),
            Json::Number(number) => {
                let text = number.to_string();
                super::json_read::read_number(&text).unwrap_or_else(|| Value::Number(text.into()))
            }
            Json::String(text) => Value::Text(text.into()),
            Json::Array(elements) => Value::array(elements.into_iter().map(Value::from)),
            Json::Object(members) => {
                Value::object(members.into_iter().map(|(name, value)| (name.into(), value.into())))
            }
        }
    }
}

impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        use serde_json::Value as Json;
        match value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::from(*value),
            // A `Number` always holds a number's text; were it otherwise, its text would still be the best answer.
            Value::Number(text) => text.parse().map_or_else(|_| Json::String(text.to_string()), Json::Number),
            Value::Text(text) => Json::String(text.to_string()),
            Value::Object(object) => {
                Json::Object(object.members().map(|(name, value)| (name.to_string(), value.into())).collect())
            }
            Value::Array(_) | Value::List(_) => {
                Json::Array(value.elements().into_iter().flatten().map(Json::from).collect())
            }
        }
    }
}

impl From<Value> for serde_json::Value {
    fn from(value: Value) -> Self {
        (&value).into()
    }
}
