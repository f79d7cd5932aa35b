//! Texts as Postgres 15 writes them, and any other text.

use proptest::prelude::*;

use super::*;

fn array_of(element: Decode) -> Decode {
    Decode::Array { element: Box::new(element), delimiter: b',' }
}

fn pair() -> Decode {
    Decode::Composite(vec![("a".into(), Decode::Number), ("b".into(), Decode::Text)])
}

fn check(ty: &Decode, cases: &[(&str, &str)]) {
    for (text, json) in cases {
        let value = decode(ty, text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(value, Value::parse_json(json).expect("JSON of a test"), "{text}");
    }
}

fn refuse(ty: &Decode, texts: &[&str]) {
    for text in texts {
        assert!(decode(ty, text).is_err(), "{ty:?} {text}");
    }
}

#[test]
fn scalars() {
    check(&Decode::Bool, &[("t", "true"), ("f", "false")]);
    refuse(&Decode::Bool, &["", "true", "T"]);
    check(
        &Decode::Number,
        &[
            ("-9223372036854775808", "-9223372036854775808"),
            ("1.50", "1.5"),
            ("1e+20", "100000000000000000000"),
            ("-0", "0"),
            ("NaN", "\"NaN\""),
            ("-Infinity", "\"-Infinity\""),
        ],
    );
    refuse(&Decode::Number, &["", "nan", "1,5", "0x1", "1 ", "--1"]);
    check(&Decode::Text, &[("", "\"\""), ("NULL", "\"NULL\"")]);
}

#[test]
fn dates_and_times() {
    check(&Decode::Date, &[("2020-01-02", "\"2020-01-02\""), ("0044-03-15 BC", "\"0044-03-15 BC\"")]);
    check(
        &Decode::Timestamp,
        &[
            ("2020-01-02 03:04:05.6", "\"2020-01-02T03:04:05.6\""),
            ("0044-03-15 00:00:00 BC", "\"0044-03-15T00:00:00 BC\""),
            ("-infinity", "\"-infinity\""),
        ],
    );
    check(
        &Decode::Timestamptz,
        &[
            ("2020-01-02 03:04:05.6+00", "\"2020-01-02T03:04:05.6+00:00\""),
            ("0044-03-15 00:00:00+00 BC", "\"0044-03-15T00:00:00+00:00 BC\""),
            ("2020-01-02 03:04:05-03:30", "\"2020-01-02T03:04:05-03:30\""),
            ("infinity", "\"infinity\""),
        ],
    );
    refuse(&Decode::Timestamp, &["", "2020-01-02"]);
    refuse(&Decode::Timestamptz, &["", "2020-01-02", "2020-01-02 03:04:05"]);
}

#[test]
fn json_is_normalised() {
    check(
        &Decode::Json,
        &[(" { \"a\" : 1, \"a\": 2 } ", "{\"a\":2}"), ("null", "null"), (r#""\ud800x""#, "\"\u{FFFD}x\"")],
    );
    refuse(&Decode::Json, &["", "{", "'a'"]);
}

#[test]
fn arrays() {
    check(
        &array_of(Decode::Number),
        &[
            ("{}", "[]"),
            ("{1,NULL,-3}", "[1,null,-3]"),
            ("{{1,2},{3,4}}", "[[1,2],[3,4]]"),
            ("[0:2]={1,2,3}", "[1,2,3]"),
            ("[0:1][-1:0]={{1,2},{3,4}}", "[[1,2],[3,4]]"),
            ("{{{{{{1}}}}}}", "[[[[[[1]]]]]]"),
            ("1 2 3", "[1,2,3]"),
            ("", "[]"),
        ],
    );
    check(
        &array_of(Decode::Text),
        &[
            (
                r#"{a,"b c","","NULL",NULL,null,"q\"q","b\\b","{","é,😀"}"#,
                r#"["a","b c","","NULL",null,"null","q\"q","b\\b","{","é,😀"]"#,
            ),
            ("1 2", r#"["1","2"]"#),
        ],
    );
    let boxes = Decode::Array { element: Box::new(Decode::Text), delimiter: b';' };
    check(&boxes, &[("{(1,1),(0,0);(2,2),(1,1)}", r#"["(1,1),(0,0)","(2,2),(1,1)"]"#)]);
    check(&array_of(Decode::Json), &[(r#"{"{\"a\": [1, 2]}",NULL,"\"x\""}"#, r#"[{"a":[1,2]},null,"x"]"#)]);
    check(&array_of(pair()), &[(r#"{"(1,\"a b\")","(,)"}"#, r#"[{"a":1,"b":"a b"},{"a":null,"b":null}]"#)]);
    refuse(
        &array_of(Decode::Text),
        &[
            "{",
            "}",
            "{a",
            "{a}b",
            "{a}}",
            "{,}",
            "{a,}",
            "{,a}",
            "{{a}{b}}",
            "{a\"b\"}",
            "{\"a}",
            "{\"a\"b}",
            "[0:1]{a}",
            "[0:1]",
            "{{{{{{{1}}}}}}}",
            "a b",
            "{\"\\",
            "{a},{b}",
            "[1:1]=a",
            "{a{b}}",
        ],
    );
}

#[test]
fn composites() {
    check(
        &pair(),
        &[
            ("(1,a)", r#"{"a":1,"b":"a"}"#),
            ("(,)", r#"{"a":null,"b":null}"#),
            (r#"(1,"")"#, r#"{"a":1,"b":""}"#),
            (r#"(1,"a ""b"" \\ , ( )")"#, r#"{"a":1,"b":"a \"b\" \\ , ( )"}"#),
            (r#"(1," é😀")"#, r#"{"a":1,"b":" é😀"}"#),
        ],
    );
    check(&Decode::Composite(vec![]), &[("()", "{}")]);
    check(&Decode::Composite(vec![("x".into(), Decode::Text)]), &[("()", r#"{"x":null}"#)]);
    refuse(
        &pair(),
        &[
            "",
            "(",
            ")",
            "()",
            "(1)",
            "(1,a,b)",
            "(1,a",
            "1,a",
            "(1,\"a)",
            "(1,a\"b)",
            "(x,a)",
            "(1,\"a\"b)",
            "(1,\"a\"\")",
        ],
    );
}

fn any_type() -> impl Strategy<Value = Decode> {
    let scalar = prop::sample::select(vec![
        Decode::Bool,
        Decode::Number,
        Decode::Json,
        Decode::Date,
        Decode::Timestamp,
        Decode::Timestamptz,
        Decode::Text,
    ]);
    scalar.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(array_of),
            prop::collection::vec(("[a-c]", inner), 0..3)
                .prop_map(|fields| Decode::Composite(fields.into_iter().map(|(name, ty)| (name.into(), ty)).collect())),
        ]
    })
}

/// An array's text as `array_out` writes it, everything quoted.
fn array_text(elements: &[Option<String>]) -> String {
    let quote = |text: &String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let texts: Vec<String> = elements.iter().map(|e| e.as_ref().map_or("NULL".to_owned(), quote)).collect();
    format!("{{{}}}", texts.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_text_gives_a_value_or_an_error(ty in any_type(), text in "[\\[\\]{}(),;\"\\\\ =:0-9aNUL\\PC]{0,24}") {
        let _ = decode(&ty, &text);
    }

    #[test]
    fn quoted_elements_come_back(elements in prop::collection::vec(prop::option::of("[\\PC\"\\\\{},\n]{0,6}"), 0..5)) {
        let expected = Value::array(elements.iter().map(|e| e.as_deref().map_or(Value::Null, Value::from)));
        prop_assert_eq!(decode(&array_of(Decode::Text), &array_text(&elements)), Ok(expected));
    }

    #[test]
    fn quoted_fields_come_back(first in "[\\PC\"\\\\(),\n]{0,6}", second in "[\\PC\"\\\\(),\n]{0,6}") {
        let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""));
        let ty = Decode::Composite(vec![("a".into(), Decode::Text), ("b".into(), Decode::Text)]);
        let text = format!("({},{})", quote(&first), quote(&second));
        let expected = Value::object([("a".into(), first.into()), ("b".into(), second.into())]);
        prop_assert_eq!(decode(&ty, &text), Ok(expected));
    }
}
