//! No text makes reading, resolving or compiling panic, however it was mangled.

use std::path::Path;

use proptest::prelude::*;

use super::catalogue::catalogue;
use super::plans::EXAMPLE;
use crate::config::Settings;
use crate::data::Value;
use crate::query::compile;

/// Words that reach deeper than random letters do.
const WORDS: &[&str] = &[
    "from",
    "users",
    "places",
    "with",
    "on",
    "through",
    "where",
    "get",
    "id",
    "name",
    "rating",
    "order_by",
    "-id",
    "limit",
    "offset",
    "steps",
    "filter",
    "map",
    "reduce",
    "node",
    "open-at",
    "occupancy",
    "into",
    "input",
    "args",
    "select",
    "one",
    "true",
    "null",
    "all",
    "any",
    "not",
    "columns",
    "eq",
    "in",
    "like",
    "contains",
    "overlaps",
    "$user_id",
    "$auth.sub",
    "$hour",
    "$$x",
    "$",
    "${DATABASE_URL}",
    "choose",
    "type",
    "int4",
    "int8[]",
    "default",
    "optional",
    "min",
    "max",
    "[]",
    "{}",
    "[1, 2]",
    "1.5",
    "99999999999999999999",
    "tags",
    "meta",
    "created_at",
    "yesterday",
    "users_places",
    "posts",
    "messages",
    "log",
    "hide",
    "rls",
    "ignore",
    "&a",
    "*a",
    "<<",
    "!!binary",
    "|",
    ">",
    "? ",
    "- ",
    "\"",
    "'",
    "\n  ",
    ": ",
];

fn survives(text: &str) {
    let env = |name: &str| (name == "DATABASE_URL").then(|| "postgres://localhost/x".to_string());
    let Ok(settings) = Settings::parse(text, "sangre.yaml", Path::new("."), &env) else { return };
    let compiled = compile(&settings.definitions(), &catalogue());
    let claims = Value::parse_json(r#"{"sub":[null,{"a":1}]}"#).expect("JSON");
    for path in ["/followeds/1", "/followeds/x", "/me", "/", "/%"] {
        for query in [vec![], vec![("hour".to_string(), "{".to_string())]] {
            let _ = compiled.routes.bind(path, &query, &claims);
        }
    }
}

proptest! {
    #[test]
    fn words_put_together_do_not_panic(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..40)) {
        survives(&words.join(" "));
        survives(&format!("database: x\nqueries:\n  q: {{ route: /q, from: users, {} }}\n", words.join(" ")));
    }

    #[test]
    fn a_mangled_example_does_not_panic(cuts in proptest::collection::vec((0..EXAMPLE.len(), 0..12usize, 0..WORDS.len()), 1..4)) {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        for (at, gone, word) in cuts {
            let at = at.min(text.len());
            let end = (at + gone).min(text.len());
            text.splice(at..end, WORDS[word].chars());
        }
        survives(&text.into_iter().collect::<String>());
    }

    #[test]
    fn a_word_in_place_of_another_does_not_panic(swaps in proptest::collection::vec((0..1000usize, 0..WORDS.len()), 1..4)) {
        let mut words: Vec<String> = EXAMPLE.split_inclusive([' ', '\n', ',']).map(str::to_string).collect();
        for (at, word) in swaps {
            let at = at % words.len();
            words[at] = format!("{} ", WORDS[word]);
        }
        survives(&words.concat());
    }

    #[test]
    fn any_text_is_read_as_any_type(text in "\\PC{0,20}|[-+0-9.eE_xX:T Z{},\"]{0,24}") {
        for ty in catalogue().types.values() {
            let _ = crate::query::literal::parse_text(ty, &text);
        }
    }
}
