//! Order and equality of keys, against comparison and against lists written down in order.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

fn json(text: &str) -> Value {
    Value::parse_json(text).expect("JSON of a test")
}

fn key(class: &KeyClass, value: &Value) -> Option<Key> {
    let mut builder = KeyBuilder::new();
    builder.push(class, value).then(|| builder.finish())
}

fn mood() -> KeyClass {
    KeyClass::Enum { sql: "public.mood".into(), labels: ["sad", "ok", "happy"].map(Arc::from).into() }
}

/// Groups of equal values, the groups in ascending order.
fn ascending(class: &KeyClass, groups: &[&[&str]]) {
    let values: Vec<(usize, Value)> =
        groups.iter().enumerate().flat_map(|(rank, group)| group.iter().map(move |text| (rank, json(text)))).collect();
    for (a_rank, a) in &values {
        for (b_rank, b) in &values {
            let expected = a_rank.cmp(b_rank);
            assert_eq!(class.compare(a, b), Some(expected), "{class:?}: {a:?} {b:?}");
            assert_eq!(key(class, a).cmp(&key(class, b)), expected, "{class:?}: keys of {a:?} {b:?}");
        }
    }
}

#[test]
fn each_class_has_the_order_of_sql() {
    ascending(&KeyClass::Bool, &[&["false"], &["true"]]);
    ascending(
        &KeyClass::Int,
        &[&["-9223372036854775808"], &["-1"], &["0", "-0", "0.0"], &["1", "1e0"], &["9223372036854775807"]],
    );
    ascending(
        &KeyClass::Float,
        &[
            &["\"-Infinity\""],
            &["-1.7976931348623157e308"],
            &["-1", "-1.0"],
            &["-5e-324"],
            &["0", "-0.0"],
            &["5e-324"],
            &["0.1"],
            &["1e+20", "100000000000000000000"],
            &["\"Infinity\""],
            &["\"NaN\""],
        ],
    );
    ascending(
        &KeyClass::Numeric,
        &[
            &["\"-Infinity\""],
            &["-1e200"],
            &["-100.5"],
            &["-100", "-1e2"],
            &["-99"],
            &["-0.001"],
            &["0", "-0.00", "0e9"],
            &["1e-200"],
            &["0.1", "1e-1", "0.100"],
            &["1", "1.0", "1.00"],
            &["1.05"],
            &["9007199254740992"],
            &["9007199254740993"],
            &["1e100"],
            &["1e200"],
            &["\"Infinity\""],
            &["\"NaN\""],
        ],
    );
    ascending(
        &KeyClass::Text,
        &[&["\"\""], &["\"\\u0000\""], &["\" \""], &["\"A\""], &["\"AB\""], &["\"a\""], &["\"é\""], &["\"😀\""]],
    );
    ascending(&KeyClass::BpChar, &[&["\"\"", "\"  \""], &["\"a\"", "\"a   \""], &["\"a b\"", "\"a b \""]]);
    ascending(
        &KeyClass::Bytea,
        &[&[r#""\\x""#], &[r#""\\x00""#], &[r#""\\x0001""#], &[r#""\\x0A""#, r#""\\x0a""#], &[r#""\\xff""#]],
    );
    ascending(
        &KeyClass::Uuid,
        &[
            &["\"00000000-0000-0000-0000-000000000000\""],
            &["\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"", "\"{A0EEBC999C0B4EF8BB6D6BB9BD380A11}\""],
            &["\"ffffffff-ffff-ffff-ffff-ffffffffffff\""],
        ],
    );
    ascending(&mood(), &[&["\"sad\""], &["\"ok\""], &["\"happy\""]]);
    ascending(
        &KeyClass::Json,
        &[
            &["false"],
            &["true"],
            &["-1"],
            &["1", "1.0"],
            &["\"\""],
            &["\"NaN\""],
            &["[1]", "[1.0]"],
            &["[2]"],
            &[r#"{"a":1,"b":2}"#, r#"{"b":2.0,"a":1}"#],
            &[r#"{"b":1}"#],
        ],
    );
}

#[test]
fn times_have_the_order_of_sql() {
    ascending(
        &KeyClass::Date,
        &[
            &["\"-infinity\""],
            &["\"4714-11-24 BC\""],
            &["\"0001-12-31 BC\""],
            &["\"0001-01-01\""],
            &["\"9999-12-31\""],
            &["\"10000-01-01\""],
            &["\"infinity\""],
        ],
    );
    ascending(
        &KeyClass::Time,
        &[&["\"00:00:00\""], &["\"00:00:00.000001\""], &["\"12:00:00\"", "\"12:00:00.0\""], &["\"24:00:00\""]],
    );
    ascending(
        &KeyClass::Timestamp,
        &[
            &["\"-infinity\""],
            &["\"0044-03-15T00:00:00 BC\""],
            &["\"2020-01-01T00:00:00\"", "\"2020-01-01 00:00:00\""],
            &["\"2020-01-01T00:00:00.5\""],
            &["\"10000-01-01T00:00:00\""],
            &["\"infinity\""],
        ],
    );
    ascending(
        &KeyClass::Timestamptz,
        &[
            &["\"-infinity\""],
            &["\"0044-03-15T00:00:00+00:00 BC\""],
            &["\"2020-01-01T00:00:00+00:00\"", "\"2020-01-01 01:00:00+01\""],
            &["\"2020-01-01T00:00:00.5+00:00\""],
            &["\"infinity\""],
        ],
    );
}

#[test]
fn what_is_not_of_the_class_equals_nothing() {
    for (class, value) in [
        (KeyClass::Int, "1.5"),
        (KeyClass::Int, "\"1\""),
        (KeyClass::Int, "null"),
        (KeyClass::Int, "9223372036854775808"),
        (KeyClass::Numeric, "\"one\""),
        (KeyClass::Float, "true"),
        (KeyClass::Text, "1"),
        (KeyClass::Bytea, "\"abc\""),
        (KeyClass::Bytea, "\"\\\\x0\""),
        (KeyClass::Uuid, "\"abc\""),
        (KeyClass::Date, "\"yesterday\""),
        (KeyClass::Json, "null"),
        (mood(), "\"angry\""),
    ] {
        let value = json(value);
        assert_eq!(key(&class, &value), None, "{class:?} {value:?}");
        assert_eq!(class.compare(&value, &value), None, "{class:?} {value:?}");
    }
}

#[test]
fn nulls_stand_where_they_are_wanted() {
    let ordered = |value: &Value, descending, nulls_first| {
        let mut builder = KeyBuilder::new();
        builder.push_ordered(&KeyClass::Int, value, descending, nulls_first);
        builder.finish()
    };
    for descending in [false, true] {
        for value in [Value::Int(i64::MIN), Value::Int(0), Value::Int(i64::MAX)] {
            assert!(ordered(&Value::Null, descending, true) < ordered(&value, descending, true));
            assert!(ordered(&Value::Null, descending, false) > ordered(&value, descending, false));
            assert!(ordered(&Value::from("x"), descending, false) > ordered(&value, descending, false));
        }
    }
}

fn classes() -> Vec<KeyClass> {
    use KeyClass::*;
    vec![Bool, Int, Float, Numeric, Text, BpChar, Bytea, Uuid, Date, Time, Timestamp, Timestamptz, mood(), Json]
}

/// A value that is often of the class, often close to another one.
fn value_of(class: &KeyClass) -> BoxedStrategy<Value> {
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?(e-?[0-9]{1,3})?".prop_map(|text| json(&text));
    let special = prop_oneof![Just("NaN"), Just("Infinity"), Just("-Infinity")].prop_map(Value::from);
    let small = (-3i64..3).prop_map(Value::Int);
    let numbers = prop_oneof![4 => number, 2 => small, 1 => any::<i64>().prop_map(Value::Int), 1 => special].boxed();
    let text = "[\\x00ab é]{0,4}".prop_map(Value::from).boxed();
    let date = "000[1-3]-0[1-2]-0[1-2]( BC)?".boxed();
    let time = "0[0-1]:00:0[0-1](\\.[0-9]{1,6})?".boxed();
    match class {
        KeyClass::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        KeyClass::Int | KeyClass::Float | KeyClass::Numeric => numbers,
        KeyClass::Text | KeyClass::BpChar => text,
        KeyClass::Bytea => "(00|01|ff|FF){0,3}".prop_map(|hex| Value::from(format!("\\x{hex}"))).boxed(),
        KeyClass::Uuid => "[0f]{4}-?[0-9a-f]{28}".prop_map(Value::from).boxed(),
        KeyClass::Date => date.prop_map(Value::from).boxed(),
        KeyClass::Time => time.prop_map(Value::from).boxed(),
        KeyClass::Timestamp => (date, time)
            .prop_map(|(date, time)| match date.strip_suffix(" BC") {
                Some(date) => Value::from(format!("{date}T{time} BC")),
                None => Value::from(format!("{date}T{time}")),
            })
            .boxed(),
        KeyClass::Timestamptz => time.prop_map(|time| Value::from(format!("2020-01-01T{time}+00:00"))).boxed(),
        KeyClass::Enum { .. } => prop_oneof![Just("sad"), Just("ok"), Just("happy")].prop_map(Value::from).boxed(),
        KeyClass::Json => {
            let leaf = prop_oneof![numbers, text, any::<bool>().prop_map(Value::Bool)];
            leaf.prop_recursive(2, 8, 3, |inner| {
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..3).prop_map(Value::array),
                    prop::collection::vec(("[ab]{1,2}", inner), 0..3)
                        .prop_map(|m| Value::object(m.into_iter().map(|(name, value)| (name.into(), value)))),
                ]
            })
            .boxed()
        }
    }
}

fn nullable_pair() -> impl Strategy<Value = (KeyClass, Value, Value)> {
    let class = prop::sample::select(classes());
    class.prop_flat_map(|class| {
        let value = prop_oneof![1 => Just(Value::Null), 6 => value_of(&class)];
        (Just(class), value.clone(), value)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn keys_order_as_values_compare((class, a, b) in nullable_pair()) {
        let (key_a, key_b) = (key(&class, &a), key(&class, &b));
        let both = key_a.as_ref().zip(key_b.as_ref());
        prop_assert_eq!(class.compare(&a, &b), both.map(|(a, b)| a.cmp(b)));
        if class == KeyClass::Json && !a.is_null() && !b.is_null() {
            prop_assert_eq!(class.compare(&a, &b) == Some(Ordering::Equal), a == b);
        }
    }

    #[test]
    fn several_parts_order_as_their_values(
        parts in prop::collection::vec((nullable_pair(), any::<bool>(), any::<bool>()), 1..4)
    ) {
        let (mut key_a, mut key_b) = (KeyBuilder::new(), KeyBuilder::new());
        let mut expected = Ordering::Equal;
        for ((class, a, b), descending, nulls_first) in &parts {
            key_a.push_ordered(class, a, *descending, *nulls_first);
            key_b.push_ordered(class, b, *descending, *nulls_first);
            let null_is = if *nulls_first { Ordering::Less } else { Ordering::Greater };
            let order = match (key(class, a).is_none(), key(class, b).is_none()) {
                (true, true) => Ordering::Equal,
                (true, false) => null_is,
                (false, true) => null_is.reverse(),
                (false, false) => {
                    let order = class.compare(a, b).expect("both are of the class");
                    if *descending { order.reverse() } else { order }
                }
            };
            expected = expected.then(order);
        }
        prop_assert_eq!(key_a.finish().cmp(&key_b.finish()), expected);
    }
}
