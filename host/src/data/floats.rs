//! Numbers that a 64-bit float does not hold: who reads JSON as JavaScript does would change them without a word.
//!
//! What counts is the way there and back: a number fits if a float made of it is written, with as few digits as tell it apart, as
//! a number of the same value. So 0.1 fits, which no float is, and 2^63 does not, which one is: it is written 9223372036854775808 and comes
//! back as 9223372036854776000.

use super::number::{IntText, compare_numbers};
use super::value::Value;

/// Up to here each integer is a float of its own: 2^53.
const EACH: u64 = 1 << 53;

/// So many digits fit whatever they are (`DBL_DIG` of C).
const DIGITS: usize = 15;

/// A step from a value to one inside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    Member(&'a str),
    Element(usize),
}

impl Value {
    /// Whether every number in it fits a 64-bit float.
    pub fn fits_floats(&self) -> bool {
        match self {
            Value::Null | Value::Bool(_) | Value::Text(_) => true,
            Value::Int(int) => fits(*int),
            Value::Number(number) => fits_text(number),
            Value::Object(object) => object.values().iter().all(Value::fits_floats),
            Value::Array(elements) => elements.iter().all(Value::fits_floats),
            Value::List(list) => list.values().all(Value::fits_floats),
        }
    }

    /// Tells `found` of each number in it that fits no 64-bit float: the way to it, which goes on from `way`, and its text.
    pub fn each_beyond_floats<'a>(&'a self, way: &mut Vec<Step<'a>>, found: &mut dyn FnMut(&[Step<'a>], &str)) {
        match self {
            Value::Null | Value::Bool(_) | Value::Text(_) => {}
            Value::Int(int) if fits(*int) => {}
            Value::Int(int) => found(way, IntText::new(*int).as_str()),
            Value::Number(number) if fits_text(number) => {}
            Value::Number(number) => found(way, number),
            Value::Object(object) => {
                for (name, value) in object.members() {
                    way.push(Step::Member(name));
                    value.each_beyond_floats(way, found);
                    way.pop();
                }
            }
            Value::Array(_) | Value::List(_) => {
                for (index, element) in self.elements().into_iter().flatten().enumerate() {
                    way.push(Step::Element(index));
                    element.each_beyond_floats(way, found);
                    way.pop();
                }
            }
        }
    }
}

fn fits(int: i64) -> bool {
    int.unsigned_abs() <= EACH || fits_text(IntText::new(int).as_str())
}

fn fits_text(number: &str) -> bool {
    // An exponent may leave a float's range.
    if number.len() <= DIGITS && !number.bytes().any(|byte| matches!(byte, b'e' | b'E')) {
        return true;
    }
    let float: f64 = number.parse().unwrap_or(f64::NAN);
    float.is_finite() && compare_numbers(&format!("{float:e}"), number).is_eq()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value {
        Value::parse_json(text).expect("JSON")
    }

    #[test]
    fn what_comes_back_the_same_fits() {
        for fits in [
            "0",
            "-0",
            "9007199254740992",
            "9007199254740994",
            "-9007199254740992",
            "0.1",
            "0.30000000000000004",
            "1.7976931348623157e308",
            "5e-324",
            "1.5000000000000000000000",
            "123456789012345.0",
            "1e23",
            "100000000000000000000000",
            r#"[{"a":"9007199254740993"},null,true]"#,
        ] {
            assert!(parse(fits).fits_floats(), "{fits}");
        }
        for lost in [
            "9007199254740993",
            "-9007199254740993",
            "9223372036854775807",
            "9223372036854775808",
            "1e400",
            "-1e400",
            "1e-400",
            "0.1234567890123456789",
            "1.00000000000000000001",
            "1234567890123456.7891",
        ] {
            assert!(!parse(lost).fits_floats(), "{lost}");
            assert!(!parse(&format!(r#"{{"a":[1,{lost}]}}"#)).fits_floats(), "{lost}");
        }
    }

    #[test]
    fn each_that_does_not_is_told_with_the_way_to_it() {
        let value = parse(r#"{"id":9007199254740993,"a":[1,[0.1,1e400]],"n":7}"#);
        let mut found = Vec::new();
        value.each_beyond_floats(&mut Vec::new(), &mut |way, text| found.push(format!("{way:?} {text}")));
        assert_eq!(found, [r#"[Member("id")] 9007199254740993"#, r#"[Member("a"), Element(1), Element(1)] 1e400"#]);
    }
}
