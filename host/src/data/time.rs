//! Dates and times by their text: what `to_jsonb` prints, as numbers that order and compare.
//!
//! `2020-01-02`, `2020-01-02T03:04:05.6+00:00`, `0044-03-15 BC`, `294276-12-31T23:59:59`, `infinity`. A blank may stand for
//! the `T`, so Postgres's plain text output reads the same. Anything else is `None`: what a user typed is parsed by
//! Postgres before it comes here.

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// Days since 2000-01-01 of a `date`; the extremes of `i32` are the infinities.
pub(super) fn date(text: &str) -> Option<i32> {
    if let Some(infinity) = infinity(text) {
        return Some(if infinity { i32::MAX } else { i32::MIN });
    }
    let (text, bc) = era(text);
    let (days, rest) = Scan(text.as_bytes()).date(bc)?;
    if rest.0.is_empty() { i32::try_from(days).ok() } else { None }
}

/// Microseconds since midnight of a `time`; 24:00:00 is one.
pub(super) fn time(text: &str) -> Option<i64> {
    let (time, rest) = Scan(text.as_bytes()).time()?;
    rest.0.is_empty().then_some(time)
}

/// Microseconds since 2000-01-01 of a `timestamp`, as if in UTC; the extremes of `i64` are the infinities.
pub(super) fn timestamp(text: &str) -> Option<i64> {
    let (local, offset) = parts(text)?;
    if offset.is_none() { Some(local) } else { None }
}

/// Microseconds since 2000-01-01 UTC of a `timestamptz`; the extremes of `i64` are the infinities.
pub(super) fn timestamptz(text: &str) -> Option<i64> {
    match parts(text)? {
        (local @ (i64::MAX | i64::MIN), None) => Some(local),
        (local, offset) => local.checked_sub(offset?),
    }
}

/// Local time, and how far it is ahead of UTC if that is said.
fn parts(text: &str) -> Option<(i64, Option<i64>)> {
    if let Some(infinity) = infinity(text) {
        return Some((if infinity { i64::MAX } else { i64::MIN }, None));
    }
    let (text, bc) = era(text);
    let (days, rest) = Scan(text.as_bytes()).date(bc)?;
    let rest = rest.skip(b'T').or_else(|| rest.skip(b' '))?;
    let (time, rest) = rest.time()?;
    let (offset, rest) = rest.offset()?;
    let local = days.checked_mul(DAY_US)?.checked_add(time)?;
    rest.0.is_empty().then_some((local, offset))
}

/// Whether the text is `infinity` (true) or `-infinity` (false).
fn infinity(text: &str) -> Option<bool> {
    match text {
        "infinity" => Some(true),
        "-infinity" => Some(false),
        _ => None,
    }
}

fn era(text: &str) -> (&str, bool) {
    match text.strip_suffix(" BC") {
        Some(rest) => (rest, true),
        None => (text, false),
    }
}

/// What is left of a text.
#[derive(Clone, Copy)]
struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    fn skip(self, byte: u8) -> Option<Self> {
        match self.0.split_first() {
            Some((&first, rest)) if first == byte => Some(Scan(rest)),
            _ => None,
        }
    }

    /// A number of `min` to `max` digits.
    fn number(self, min: usize, max: usize) -> Option<(i64, Self)> {
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.0.len());
        if !(min..=max).contains(&end) {
            return None;
        }
        let (digits, rest) = self.0.split_at(end);
        Some((digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')), Scan(rest)))
    }

    fn date(self, bc: bool) -> Option<(i64, Self)> {
        let (year, rest) = self.number(4, 7)?;
        let (month, rest) = rest.skip(b'-')?.number(2, 2)?;
        let (day, rest) = rest.skip(b'-')?.number(2, 2)?;
        // There is no year 0: 1 BC is the year before 1.
        let year = if bc { 1 - year } else { year };
        let valid = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
        valid.then_some((days_from_civil(year, month, day), rest))
    }

    fn time(self) -> Option<(i64, Self)> {
        let (hour, rest) = self.number(2, 2)?;
        let (minute, rest) = rest.skip(b':')?.number(2, 2)?;
        let (second, rest) = rest.skip(b':')?.number(2, 2)?;
        let (micros, rest) = match rest.skip(b'.') {
            Some(rest) => rest.fraction()?,
            None => (0, rest),
        };
        let time = ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros;
        (minute < 60 && second < 60 && time <= DAY_US).then_some((time, rest))
    }

    fn fraction(self) -> Option<(i64, Self)> {
        let (number, rest) = self.number(1, 6)?;
        let digits = self.0.len() - rest.0.len();
        Some((number * 10i64.pow(6 - digits as u32), rest))
    }

    /// Microseconds ahead of UTC: `+05:30`, `+00`, `-00:19:32`, `Z`.
    fn offset(self) -> Option<(Option<i64>, Self)> {
        let (sign, rest) = match self.0.split_first() {
            Some((b'+', rest)) => (1, Scan(rest)),
            Some((b'-', rest)) => (-1, Scan(rest)),
            Some((b'Z', rest)) => return Some((Some(0), Scan(rest))),
            _ => return Some((None, self)),
        };
        let (hours, mut rest) = rest.number(2, 2)?;
        let mut seconds = hours * 3600;
        for unit in [60, 1] {
            if let Some(more) = rest.skip(b':') {
                let (number, after) = more.number(2, 2)?;
                seconds += number * unit;
                rest = after;
            }
        }
        Some((Some(sign * seconds * 1_000_000), rest))
    }
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 2000-01-01, Postgres's own epoch (another one would not hold its last years), in the proleptic Gregorian
/// calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 730_425
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_count_days() {
        for (text, days) in [
            ("2000-01-01", 0),
            ("2000-03-01", 60),
            ("1999-12-31", -1),
            ("0001-01-01", -730_119),
            ("0001-12-31 BC", -730_120),
            ("0044-03-15 BC", -746_117),
            ("4714-11-24 BC", -2_451_545),
            ("5874897-12-31", 2_145_031_948),
            ("infinity", i32::MAX),
            ("-infinity", i32::MIN),
        ] {
            assert_eq!(date(text), Some(days), "{text}");
        }
    }

    #[test]
    fn timestamps_count_microseconds() {
        let later = 631_249_445_600_000;
        assert_eq!(timestamptz("2020-01-02T03:04:05.6+00:00"), Some(later));
        assert_eq!(timestamptz("2020-01-02 03:04:05.6+00"), Some(later));
        assert_eq!(timestamptz("2020-01-02T08:34:05.600000+05:30"), Some(later));
        assert_eq!(timestamptz("2020-01-02T03:04:05.6Z"), Some(later));
        assert_eq!(timestamp("2020-01-02T03:04:05.6"), Some(later));
        assert_eq!(timestamp("2000-01-01 00:00:00.000001"), Some(1));
        assert_eq!(timestamptz("0001-12-31T23:59:59+00:00 BC"), Some(-730_119 * DAY_US - 1_000_000));
        assert_eq!(timestamp("294276-12-31T23:59:59.999999"), Some(9_223_371_331_199_999_999));
        assert_eq!(timestamptz("infinity"), Some(i64::MAX));
        assert_eq!(timestamp("-infinity"), Some(i64::MIN));
        assert_eq!(time("24:00:00"), Some(DAY_US));
        assert_eq!(time("00:00:00.5"), Some(500_000));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for bad in
            ["", "2021-02-29", "2020-13-01", "2020-00-01", "2020-1-1", "2020-01-01x", "99999999-01-01", "é", "today"]
        {
            assert_eq!(date(bad), None, "{bad}");
        }
        for bad in
            ["2020-01-01", "2020-01-01T", "2020-01-01T25:00:00", "2020-01-01T00:60:00", "2020-01-01T00:00:00.1234567"]
        {
            assert_eq!(timestamp(bad), None, "{bad}");
        }
        assert_eq!(timestamptz("2020-01-01T00:00:00"), None, "an offset belongs to it");
        assert_eq!(timestamp("9999999-01-01T00:00:00"), None, "beyond 64 bits");
    }
}
