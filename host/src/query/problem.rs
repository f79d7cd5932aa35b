//! What is wrong with a configuration: where, in which query, and what was meant.
//!
//! A configuration has many mistakes at once, so nothing stops at the first: readers push [`Problem`]s and go on with
//! what they understood. Whoever has problems must not use what was read beside them.

use std::fmt;

/// A place in the configuration's text; both count from 1. Line 0: the text came without places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

/// The way to a part of the configuration: `queries.followeds.with.places`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The part called `name` of this one.
    pub fn then(&self, name: impl fmt::Display) -> Path {
        if self.0.is_empty() { Path(name.to_string()) } else { Path(format!("{}.{name}", self.0)) }
    }

    /// The part at `index` of this list.
    pub fn at(&self, index: usize) -> Path {
        Path(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One mistake. Its text is `12:7: queries.me: what is wrong`; see [`Problem::in_file`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    pub path: Path,
    pub message: String,
}

impl Problem {
    /// The text with the file's name before it, as compilers print it.
    pub fn in_file(&self, file: &str) -> String {
        if self.place.line == 0 { format!("{file}: {self}") } else { format!("{file}:{self}") }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.line > 0 {
            write!(f, "{}:{}: ", self.place.line, self.place.column)?;
        }
        if !self.path.0.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// The mistakes found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// A mistake without a place.
    pub fn one(message: impl Into<String>) -> Self {
        Problems(vec![Problem { place: Place::default(), path: Path::default(), message: message.into() }])
    }

    /// Records a mistake.
    pub fn push(&mut self, place: Place, path: &Path, message: impl Into<String>) {
        self.0.push(Problem { place, path: path.clone(), message: message.into() });
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// `; did you mean "places"?` if one of `known` is near enough to `name`, else nothing.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let reach = (name.chars().count() / 3).clamp(1, 3);
    let best = known.into_iter().map(|known| (distance(name, known), known)).min();
    match best {
        Some((distance, known)) if distance <= reach => format!("; did you mean \"{known}\"?"),
        _ => String::new(),
    }
}

/// Edits between two names (optimal string alignment: a swap of neighbours is one edit); case counts as nothing.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| text.chars().flat_map(char::to_lowercase).take(64).collect::<Vec<_>>();
    let (a, b) = (fold(a), fold(b));
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let swap = usize::from(a[i - 1] != b[j - 1]);
                let plain = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + swap);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                if swapped { plain.min(rows[i - 2][j - 2] + 1) } else { plain }
            };
        }
    }
    rows[a.len()][b.len()]
}

/// `"a", "b" or "c"`.
pub fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_if_it_is_near() {
        assert_eq!(did_you_mean("placs", ["places", "users"]), "; did you mean \"places\"?");
        assert_eq!(did_you_mean("form", ["from", "get"]), "; did you mean \"from\"?");
        assert_eq!(did_you_mean("Users", ["places", "users"]), "; did you mean \"users\"?");
        assert_eq!(did_you_mean("orders", ["places", "users"]), "");
        assert_eq!(did_you_mean("x", []), "");
    }

    #[test]
    fn choices_are_listed() {
        assert_eq!(one_of(["a", "b", "c"]), "\"a\", \"b\" or \"c\"");
        assert_eq!(one_of(["a"]), "\"a\"");
    }
}
