//! Scalars whose JSON form is a text: floats with their special values, uuid, bytea.

use super::Value;

/// The value of a `float4` or `float8`: a number, or the text of a special one.
pub(super) fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Number(number) => number.parse().ok(),
        Value::Text(text) => match &**text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// The value of a `uuid`: 32 hexadecimal digits, in Postgres's input format (hyphens after any group of four, braces).
pub(super) fn uuid(text: &str) -> Option<u128> {
    let text = text.strip_prefix('{').map_or(Some(text), |rest| rest.strip_suffix('}'))?;
    let (mut value, mut digits) = (0u128, 0);
    for char in text.chars() {
        match char.to_digit(16) {
            Some(digit) if digits < 32 => {
                value = value << 4 | u128::from(digit);
                digits += 1;
            }
            None if char == '-' && digits % 4 == 0 && digits > 0 => {}
            _ => return None,
        }
    }
    (digits == 32).then_some(value)
}

/// The hexadecimal digits of a `bytea` in hex format (`\x6a6b`), checked.
pub(super) fn bytea_digits(text: &str) -> Option<&[u8]> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    (digits.len() % 2 == 0 && digits.iter().all(u8::is_ascii_hexdigit)).then_some(digits)
}

/// The bytes that checked hexadecimal digits stand for.
pub(super) fn bytes_of_hex(digits: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let nibble = |digit: u8| if digit.is_ascii_digit() { digit - b'0' } else { (digit | 0x20) - b'a' + 10 };
    digits.chunks_exact(2).map(move |pair| nibble(pair[0]) << 4 | nibble(pair[1]))
}
