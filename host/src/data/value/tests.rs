//! Values against JSON text, against serde_json and against jsonb's own text.

use proptest::prelude::*;

use super::*;
use crate::data::MAX_DEPTH;

fn parse(text: &str) -> Value {
    Value::parse_json(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn numbers_keep_their_text() {
    for text in ["1", "-9223372036854775808", "9223372036854775808", "1.50", "1e400", "1E+2", "0", "0.1"] {
        assert_eq!(parse(text).to_json(), text);
    }
    assert_eq!(parse("-0").to_json(), "0");
    assert!(matches!(parse("9223372036854775807"), Value::Int(i64::MAX)));
    assert!(matches!(parse("1.0"), Value::Number(_)));
}

#[test]
fn equality_is_that_of_json() {
    assert_eq!(parse(r#"{"a":1,"b":[1.0,{"c":null}]}"#), parse(r#"{"b":[1,{"c":null}],"a":1e0}"#));
    assert_eq!(parse(r#"{"a":1,"a":2}"#), parse(r#"{"a":2}"#));
    assert_ne!(parse(r#"{"a":1}"#), parse(r#"{"b":1}"#));
    assert_ne!(parse("[1,2]"), parse("[2,1]"));
    assert_ne!(parse("9007199254740993"), parse("9007199254740992.0"));
    assert_ne!(parse("\"1\""), parse("1"));
    let many = |order: &mut dyn Iterator<Item = usize>| {
        Value::object(order.map(|i| (i.to_string().into(), Value::Int(i as i64))))
    };
    assert_eq!(many(&mut (0..1000)), many(&mut (0..1000).rev()));
}

#[test]
fn strings_with_every_escape() {
    let text = r#""\"\\\/\b\f\n\r\t\u0000\u001F\u00e9\ud83d\ude00é😀""#;
    let Value::Text(read) = parse(text) else { panic!("a text") };
    assert_eq!(&*read, "\"\\/\u{8}\u{c}\n\r\t\0\u{1f}é😀é😀");
    assert_eq!(Value::Text(read).to_json(), r#""\"\\/\b\f\n\r\t\u0000\u001fé😀é😀""#);
}

#[test]
fn what_is_not_json_is_an_error() {
    for bad in [
        "",
        " ",
        "nul",
        "truex",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "[1,]",
        "[",
        "[1",
        "{",
        "{\"a\"}",
        "{\"a\":1,}",
        "{a:1}",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12é\"",
        "\"\n\"",
        "1 2",
        "NaN",
        "Infinity",
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\ud800\u0041""#,
        r#""\ud800\"#,
    ] {
        assert!(Value::parse_json(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_no_json_has_its_line_and_column() {
    for (text, place) in [("", (1, 1)), ("[1 2]", (1, 4)), ("[\n  \"ü\", x]", (2, 8)), ("{\"a\": 1,\n}", (2, 1))] {
        let error = Value::parse_json(text).expect_err(text);
        assert_eq!(error.place_in(text), place, "{text}: {error}");
    }
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}{}{}", open.repeat(depth), "1.0", close.repeat(depth));
        let deep = parse(&nested(MAX_DEPTH));
        assert_eq!(deep, parse(&deep.to_json()));
        assert_eq!(deep, parse(&deep.jsonb_text()));
        assert!(Value::parse_json(&nested(MAX_DEPTH + 1)).is_err());
        assert!(Value::parse_json(&open.repeat(1_000_000)).is_err());
    }
}

#[test]
fn objects_of_one_shape_share_it() {
    let Value::Array(rows) = parse(r#"[{"a":1,"b":{"c":1}},{"a":2,"b":{"c":2}},{"a":1},{"a":1,"d":0}]"#) else {
        panic!("an array")
    };
    let object = |index: usize| match &rows[index] {
        Value::Object(object) => object.clone(),
        other => panic!("{other:?}"),
    };
    assert!(std::sync::Arc::ptr_eq(object(0).shape(), object(1).shape()));
    assert_eq!(
        Value::Array(rows.clone()).to_json(),
        r#"[{"a":1,"b":{"c":1}},{"a":2,"b":{"c":2}},{"a":1},{"a":1,"d":0}]"#
    );
}

#[test]
fn jsonb_text_is_postgres_own() {
    let value = parse(r#"{"bb":1e2,"a":[1.50,1.5e-3,"x\u007f\u0001"],"":null,"é":true,"ab":{},"c":[]}"#);
    assert_eq!(
        value.jsonb_text(),
        "{\"\": null, \"a\": [1.50, 0.0015, \"x\u{7f}\\u0001\"], \"c\": [], \"ab\": {}, \"bb\": 100, \"é\": true}"
    );
}

#[test]
fn is_same_means_equal() {
    let text: std::sync::Arc<str> = "x".repeat(100).into();
    assert!(Value::Text(text.clone()).is_same(&Value::Text(text.clone())));
    assert!(!Value::Text(text.clone()).is_same(&Value::from(&*text)));
    assert!(Value::from("a").is_same(&Value::from("a")) && Value::Int(1).is_same(&Value::Int(1)));
    let array = parse("[1]");
    assert!(array.is_same(&array.clone()) && !array.is_same(&parse("[1]")));
}

/// Any JSON, by serde_json's own type.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let scalar = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?"
            .prop_map(|text| serde_json::Value::Number(text.parse().expect("a number"))),
        any::<String>().prop_map(serde_json::Value::from),
    ];
    scalar.prop_recursive(4, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::vec(("[a-c]{0,2}|\\PC", inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn reads_and_writes_as_serde_json(json in json()) {
        let value = parse(&json.to_string());
        prop_assert_eq!(&value, &Value::from(json.clone()));
        prop_assert_eq!(&parse(&value.to_json()), &value);
        prop_assert_eq!(&parse(&value.jsonb_text()), &value);
        prop_assert_eq!(&parse(&serde_json::Value::from(&value).to_string()), &value);
    }

    #[test]
    fn accepts_what_serde_json_accepts(text in "[\\[\\]{}\",:0-9eE.+\\- \\\\u\\PCtrufalsn]{0,40}") {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        prop_assert_eq!(Value::parse_json(&text).is_ok(), theirs.is_ok(), "{:?}", theirs);
    }
}

#[test]
fn a_value_is_three_words() {
    assert_eq!(size_of::<Value>(), 24);
}

#[test]
#[should_panic(expected = "ExactSizeIterator")]
fn an_object_has_a_value_for_each_name() {
    Object::new(Shape::new(["a".into(), "b".into()]), [Value::Null]);
}
