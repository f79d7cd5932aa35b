//! Durations and sizes with their units: `3s`, `100ms`, `64MiB`; how much of one a setting takes.

/// A setting that is a duration or a size.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// For messages.
    example: &'static str,
    least: u64,
    most: u64,
    parse: fn(&str) -> Option<u64>,
    show: fn(u64) -> String,
}

impl Quantity {
    /// A duration from `least` to `most` milliseconds.
    pub const fn duration(example: &'static str, least: u64, most: u64) -> Self {
        Quantity { example, least, most, parse: parse_duration_ms, show: show_duration_ms }
    }

    /// A size of at most this many bytes.
    pub const fn size(example: &'static str, most: u64) -> Self {
        Quantity { example, least: 1, most, parse: parse_bytes, show: show_bytes }
    }

    /// What `text` says, in milliseconds or bytes; or what it should have been.
    pub fn read(&self, text: &str) -> Result<u64, String> {
        (self.parse)(text).ok_or_else(|| self.expected()).and_then(|number| self.checked(number))
    }

    /// A number of milliseconds or bytes, if the setting takes it; or what it takes.
    pub fn checked(&self, number: u64) -> Result<u64, String> {
        let Quantity { least, most, show, .. } = *self;
        if (least..=most).contains(&number) {
            return Ok(number);
        }
        let how = if number < least { "little" } else { "much" };
        Err(format!("{} is too {how}: it takes {} to {}", show(number), show(least), show(most)))
    }

    /// What the setting takes, for messages.
    pub fn expected(&self) -> String {
        let Quantity { example, least, most, show, .. } = *self;
        format!("expected a number with its unit, such as {example}, from {} to {}", show(least), show(most))
    }
}

/// Milliseconds of `100ms`, `3s`, `2m`, `1h`.
pub fn parse_duration_ms(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Bytes of `64MiB`, `4 KiB`, `1GiB`, `512B`; `kB`, `MB` and `GB` are powers of 1000.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// As [`parse_duration_ms`] reads it, in the largest unit that is exact.
pub fn show_duration_ms(ms: u64) -> String {
    shown(ms, &[(3_600_000, "h"), (60_000, "m"), (1000, "s")], "ms")
}

/// As [`parse_bytes`] reads it, in the largest unit that is exact.
pub fn show_bytes(bytes: u64) -> String {
    shown(bytes, &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")], "B")
}

fn shown(number: u64, units: &[(u64, &str)], smallest: &str) -> String {
    let unit = units.iter().find(|(factor, _)| number > 0 && number.is_multiple_of(*factor));
    unit.map_or_else(|| format!("{number}{smallest}"), |(factor, unit)| format!("{}{unit}", number / factor))
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_needed_and_known() {
        assert_eq!(parse_duration_ms("100ms"), Some(100));
        assert_eq!(parse_duration_ms("3s"), Some(3000));
        assert_eq!(parse_duration_ms("3"), None);
        assert_eq!(parse_duration_ms("-3s"), None);
        assert_eq!(parse_bytes("64MiB"), Some(64 << 20));
        assert_eq!(parse_bytes("4 KiB"), Some(4096));
        assert_eq!(parse_bytes("99999999999999999GiB"), None);
        assert_eq!(parse_bytes("MiB"), None);
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for number in [0, 1, 999, 1000, 1024, 1500, 60_000, 64 << 20, (64 << 20) + 1, 3_600_000, 3 << 30, u64::MAX] {
            assert_eq!(parse_duration_ms(&show_duration_ms(number)), Some(number));
            assert_eq!(parse_bytes(&show_bytes(number)), Some(number));
        }
        assert_eq!((show_duration_ms(120_000), show_bytes(64 << 20)), ("2m".into(), "64MiB".into()));
    }

    #[test]
    fn a_setting_takes_what_is_in_its_bounds() {
        let memory = Quantity::size("64MiB", 4 << 30);
        assert_eq!(memory.read("4GiB"), Ok(4 << 30));
        let expected = "expected a number with its unit, such as 64MiB, from 1B to 4GiB";
        for text in ["64", "64 parsecs", "", "-1B", "99999999999999999GiB"] {
            assert_eq!(memory.read(text), Err(expected.into()), "{text}");
        }
        for (text, how) in [("0B", "too little"), ("5GiB", "too much")] {
            assert_eq!(memory.read(text), Err(format!("{text} is {how}: it takes 1B to 4GiB")));
        }
    }
}
