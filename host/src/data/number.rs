//! Decimal numbers by their text: exact comparison and Postgres's notation, without arithmetic.
//!
//! A number is never converted to binary floating point, so `numeric` with its up to 131,072 digits compares exactly.
//! Texts are JSON numbers; of any other text the part that reads as one counts, and nothing panics. Exponents beyond 64
//! bits saturate.

use std::cmp::Ordering;

/// Compares two JSON number texts by their exact value, whatever their exponents and trailing zeros.
pub fn compare_numbers(a: &str, b: &str) -> Ordering {
    Decimal::read(a).compare(&Decimal::read(b))
}

/// A number's sign, its significant digits and where its point stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    /// False for every zero.
    pub negative: bool,
    /// The power of ten above the first significant digit: 1 for 5, 0 for 0.5. 0 for zero.
    pub magnitude: i64,
    /// The significant digits in two pieces, without zeros at either end; both are empty for zero.
    high: &'a [u8],
    low: &'a [u8],
}

impl<'a> Decimal<'a> {
    /// Reads a JSON number's text.
    pub fn read(text: &'a str) -> Self {
        let text = text.as_bytes();
        let (signed, text) = match text.split_first() {
            Some((b'-', rest)) => (true, rest),
            _ => (false, text),
        };
        let (whole, fraction, exponent) = parts(text);
        let (high, skipped) = without_leading_zeros(whole, fraction);
        let magnitude = (high.0.len() as i64).saturating_sub(skipped).saturating_add(exponent);
        let low = without_trailing_zeros(high.1);
        let high = if low.is_empty() { without_trailing_zeros(high.0) } else { high.0 };
        let zero = high.is_empty() && low.is_empty();
        Decimal { negative: signed && !zero, magnitude: if zero { 0 } else { magnitude }, high, low }
    }

    /// Whether it is 0.
    pub fn is_zero(&self) -> bool {
        self.high.is_empty() && self.low.is_empty()
    }

    /// The significant digits as ASCII, the first and the last not 0.
    pub fn digits(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.high.iter().chain(self.low).copied()
    }

    /// Compares exact values.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self.sign(), other.sign()) {
            (1, 1) => self.compare_size(other),
            (-1, -1) => other.compare_size(self),
            (a, b) => a.cmp(&b),
        }
    }

    fn sign(&self) -> i8 {
        match (self.is_zero(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    fn compare_size(&self, other: &Self) -> Ordering {
        // Without trailing zeros the shorter of two digit strings that agree so far is the smaller number.
        self.magnitude.cmp(&other.magnitude).then_with(|| self.digits().cmp(other.digits()))
    }

    /// The value if it is an integer that fits.
    pub fn to_i64(self) -> Option<i64> {
        if self.is_zero() {
            return Some(0);
        }
        let count = self.high.len() + self.low.len();
        let zeros = usize::try_from(self.magnitude).ok()?.checked_sub(count)?;
        if self.magnitude > 19 {
            return None;
        }
        let all = self.digits().chain(std::iter::repeat_n(b'0', zeros));
        let size = all.fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        i64::try_from(if self.negative { -size } else { size }).ok()
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn exponent(text: &[u8]) -> i64 {
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let (text, _) = digits(text);
    let size = text.iter().fold(0i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if negative { -size } else { size }
}

/// The digits from the first that is not 0 on, and how many zeros after the point came before it.
fn without_leading_zeros<'a>(whole: &'a [u8], fraction: &'a [u8]) -> ((&'a [u8], &'a [u8]), i64) {
    match whole.iter().position(|&digit| digit != b'0') {
        Some(start) => ((&whole[start..], fraction), 0),
        None => {
            let start = fraction.iter().position(|&digit| digit != b'0').unwrap_or(fraction.len());
            ((&[], &fraction[start..]), start as i64)
        }
    }
}

fn without_trailing_zeros(digits: &[u8]) -> &[u8] {
    let end = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
    &digits[..end]
}

/// The most digits `numeric` has before its point, and after it (Postgres, "Numeric Types").
const MOST_WHOLE_DIGITS: i64 = 131_072;
const MOST_FRACTION_DIGITS: i64 = 16_383;

/// The text `numeric` has for a JSON number: no exponent, as many digits after the point as were written.
///
/// `None` beyond the range of `numeric`, where Postgres has no such value.
pub(super) fn numeric_text(text: &str) -> Option<String> {
    let number = Decimal::read(text);
    let scale = scale(text);
    if number.magnitude > MOST_WHOLE_DIGITS || scale > MOST_FRACTION_DIGITS {
        return None;
    }
    let mut out = String::from(if number.negative { "-" } else { "" });
    let mut digits = number.digits().map(char::from).fuse();
    match number.magnitude {
        1.. => out.extend((0..number.magnitude).map(|_| digits.next().unwrap_or('0'))),
        _ => out.push('0'),
    }
    if scale > 0 {
        out.push('.');
        let zeros = (-number.magnitude).clamp(0, scale);
        out.extend((0..zeros).map(|_| '0'));
        out.extend((zeros..scale).map(|_| digits.next().unwrap_or('0')));
    }
    Some(out)
}

/// One text for each value: [`numeric_text`] without zeros at its end; beyond its range digits and exponent.
pub(super) fn canonical_text(text: &str) -> String {
    match numeric_text(text) {
        Some(mut plain) => {
            if plain.contains('.') {
                plain.truncate(plain.trim_end_matches('0').trim_end_matches('.').len());
            }
            if plain == "-0" { String::from("0") } else { plain }
        }
        None => {
            let number = Decimal::read(text);
            let digits: String = number.digits().map(char::from).collect();
            let sign = if number.negative { "-" } else { "" };
            // A zero with a huge exponent is still zero.
            if number.is_zero() { String::from("0") } else { format!("{sign}0.{digits}e{}", number.magnitude) }
        }
    }
}

/// The digits before and after the point of an unsigned number, and its exponent.
fn parts(unsigned: &[u8]) -> (&[u8], &[u8], i64) {
    let (whole, rest) = digits(unsigned);
    let (fraction, rest) = match rest.split_first() {
        Some((b'.', rest)) => digits(rest),
        _ => (&rest[..0], rest),
    };
    let exponent = match rest.split_first() {
        Some((b'e' | b'E', rest)) => exponent(rest),
        _ => 0,
    };
    (whole, fraction, exponent)
}

/// How many digits after the point the number is written with, its exponent considered.
fn scale(text: &str) -> i64 {
    let unsigned = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let (_, fraction, exponent) = parts(unsigned);
    (fraction.len() as i64).saturating_sub(exponent).max(0)
}

/// An integer's decimal text, on the stack.
pub(super) struct IntText {
    bytes: [u8; 20],
    start: usize,
}

impl IntText {
    /// Writes `value`.
    pub fn new(value: i64) -> Self {
        let (mut bytes, mut start) = ([0; 20], 20);
        let mut rest = value.unsigned_abs();
        loop {
            start -= 1;
            bytes[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            start -= 1;
            bytes[start] = b'-';
        }
        IntText { bytes, start }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.start..]).expect("digits and a sign are ASCII")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_numbers_in_many_notations() {
        for same in [
            ["1", "1.0"],
            ["1", "10e-1"],
            ["100", "1e2"],
            ["0", "-0.000e77"],
            ["-1.50", "-15E-1"],
            ["0.001", "1e-3"],
            ["120.0", "0.12e+3"],
        ] {
            assert_eq!(compare_numbers(same[0], same[1]), Ordering::Equal, "{same:?}");
            assert_eq!(canonical_text(same[0]), canonical_text(same[1]), "{same:?}");
        }
    }

    #[test]
    fn numbers_in_ascending_order() {
        let ascending = [
            "-1e999999999999999999999",
            "-1e400",
            "-123456789012345678901234567891",
            "-123456789012345678901234567890",
            "-2",
            "-1.5",
            "-1e-5",
            "0",
            "1e-400",
            "0.09",
            "0.1",
            "0.11",
            "1",
            "9.99999999999999999999999999",
            "10",
            "9007199254740993",
            "9007199254740993.1",
            "1e400",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare_numbers(a, b), i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn numeric_notation_is_postgres_own() {
        for (json, numeric) in [
            ("1e2", "100"),
            ("1.50", "1.50"),
            ("1.5e-3", "0.0015"),
            ("1.50e1", "15.0"),
            ("-0", "0"),
            ("-0.0", "0.0"),
            ("0e5", "0"),
            ("0e-5", "0.00000"),
            ("12.34E+1", "123.4"),
            ("1e+20", "100000000000000000000"),
        ] {
            assert_eq!(numeric_text(json).as_deref(), Some(numeric), "{json}");
        }
        assert_eq!(numeric_text("1e400000"), None);
        assert_eq!(numeric_text("1e-20000"), None);
        assert_eq!(canonical_text("10e400000"), canonical_text("1e400001"));
    }

    #[test]
    fn what_is_no_number_does_no_harm() {
        for text in ["", "-", ".", "e", "1e", "--1", "x", "1e+", "é", "-.e-"] {
            compare_numbers(text, "1");
            canonical_text(text);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_integer_arithmetic(a: i64, b: i64, zeros in 0usize..30) {
            let shifted = format!("{a}{:0>zeros$}e-{zeros}", "", zeros = zeros);
            prop_assert_eq!(compare_numbers(&shifted, &b.to_string()), a.cmp(&b));
            prop_assert_eq!(compare_numbers(&shifted, &a.to_string()), Ordering::Equal);
            prop_assert_eq!(Decimal::read(&shifted).to_i64(), Some(a));
            let text = IntText::new(a);
            prop_assert_eq!(text.as_str(), a.to_string());
        }
    }
}
