//! `LIKE` and `ILIKE`.
//!
//! `%` is any text, `_` one character, `\` takes the next character as it is. Exact for `LIKE`. `ILIKE` takes
//! ASCII letters of either case as equal, as Postgres does under the collation "C".

/// Whether Postgres accepts the pattern: one that ends with an escape for nothing is an error there.
pub fn is_like_pattern(pattern: &str) -> bool {
    pattern.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 0
}

/// Whether the text matches; `fold` ignores case. A pattern that Postgres would refuse matches nothing.
pub(super) fn matches(text: &str, pattern: &str, fold: bool) -> bool {
    if !is_like_pattern(pattern) {
        return false;
    }
    let (mut text, mut pattern) = (text.chars(), pattern.chars());
    // Where to go on if what follows the last `%` does not match here: one character further in the text.
    let mut retry = None;
    loop {
        let token = next(&mut pattern);
        if let Some(Token::Any) = token {
            retry = Some((text.clone(), pattern.clone()));
            continue;
        }
        match (text.next(), token) {
            (None, None) => return true,
            (None, Some(_)) => return false,
            (Some(_), Some(Token::One)) => continue,
            (Some(have), Some(Token::Char(want))) if same(have, want, fold) => continue,
            _ => {}
        }
        match &mut retry {
            Some((from, after)) => {
                from.next();
                (text, pattern) = (from.clone(), after.clone());
            }
            None => return false,
        }
    }
}

enum Token {
    Any,
    One,
    Char(char),
}

fn next(pattern: &mut std::str::Chars<'_>) -> Option<Token> {
    Some(match pattern.next()? {
        '%' => Token::Any,
        '_' => Token::One,
        '\\' => Token::Char(pattern.next()?),
        char => Token::Char(char),
    })
}

fn same(a: char, b: char, fold: bool) -> bool {
    a == b || (fold && a.eq_ignore_ascii_case(&b))
}
