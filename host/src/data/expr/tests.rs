//! Conditions against truth tables written down from Postgres.

use super::*;

fn json(text: &str) -> Value {
    Value::parse_json(text).expect("JSON of a test")
}

fn value(text: &str) -> Operand {
    Operand::Value(json(text))
}

fn column() -> Field {
    Field::Column(0)
}

fn test(expr: &Expr, column: &str) -> Option<bool> {
    expr.test_row(&Row::new([json(column)]))
}

fn compare(op: Comparison, with: Operand) -> Expr {
    Expr::Compare { field: column(), class: KeyClass::Int, op, with }
}

fn like(pattern: &str, fold: bool) -> Expr {
    Expr::Like { field: column(), pattern: Operand::Value(pattern.into()), fold }
}

#[test]
fn comparisons_are_three_valued() {
    use Comparison::*;
    for (op, below, equal, above) in [
        (Eq, false, true, false),
        (Ne, true, false, true),
        (Lt, true, false, false),
        (Lte, true, true, false),
        (Gt, false, false, true),
        (Gte, false, true, true),
    ] {
        let expr = compare(op, value("2"));
        assert_eq!(["1", "2", "3"].map(|v| test(&expr, v)), [below, equal, above].map(Some), "{op:?}");
        assert_eq!(test(&expr, "null"), None, "{op:?}");
        assert_eq!(test(&compare(op, value("null")), "1"), None, "{op:?}");
        assert_eq!(test(&compare(op, value("null")), "null"), None, "{op:?}");
    }
    assert_eq!(test(&Expr::IsNull(column()), "null"), Some(true));
    assert_eq!(test(&Expr::IsNull(column()), "0"), Some(false));
}

#[test]
fn and_or_not_follow_sql() {
    let truth = |truth| match truth {
        Some(true) => Expr::All(vec![]),
        Some(false) => Expr::Any(vec![]),
        None => compare(Comparison::Eq, value("null")),
    };
    let (t, f, u) = (Some(true), Some(false), None);
    for (a, b, and, or) in [(t, t, t, t), (t, f, f, t), (t, u, u, t), (f, f, f, f), (f, u, f, u), (u, u, u, u)] {
        for pair in [[a, b], [b, a]] {
            assert_eq!(test(&Expr::All(pair.map(truth).into()), "1"), and, "{pair:?}");
            assert_eq!(test(&Expr::Any(pair.map(truth).into()), "1"), or, "{pair:?}");
        }
    }
    assert_eq!(test(&Expr::Not(Box::new(truth(u))), "1"), u);
    assert_eq!(test(&Expr::Not(Box::new(truth(t))), "1"), f);
}

#[test]
fn in_follows_any_of_an_array() {
    let is_in = |list: &str| Expr::In { field: column(), class: KeyClass::Int, list: value(list) };
    assert_eq!(test(&is_in("[1,2]"), "2"), Some(true));
    assert_eq!(test(&is_in("[1,2]"), "3"), Some(false));
    assert_eq!(test(&is_in("[1,null]"), "1"), Some(true));
    assert_eq!(test(&is_in("[1,null]"), "3"), None);
    assert_eq!(test(&is_in("[1]"), "null"), None);
    assert_eq!(test(&is_in("[]"), "null"), Some(false));
    assert_eq!(test(&is_in("null"), "1"), None);
}

#[test]
fn like_matches_as_postgres_does() {
    for (text, pattern, expected) in [
        ("", "", true),
        ("", "%", true),
        ("", "_", false),
        ("a", "", false),
        ("abc", "abc", true),
        ("abc", "a%", true),
        ("abc", "%c", true),
        ("abc", "%b%", true),
        ("abc", "a_c", true),
        ("abc", "a_", false),
        ("abc", "____", false),
        ("abcabd", "%ab_", true),
        ("aab", "%ab", true),
        ("abab", "%ab", true),
        ("mississippi", "%iss%ip%i", true),
        ("mississippi", "%iss%ix%", false),
        ("日本語", "___", true),
        ("日本語", "_本%", true),
        ("a%c", "a\\%c", true),
        ("abc", "a\\%c", false),
        ("a_c", "a\\_c", true),
        ("a\\c", "a\\\\c", true),
        ("abc", "\\a\\b\\c", true),
        ("a\\", "a\\", false),
        ("ABC", "abc", false),
        ("abc", "a%%%c", true),
        ("abc", "%_%_%_%", true),
        ("ab", "%_%_%_%", false),
    ] {
        assert_eq!(test(&like(pattern, false), &Value::from(text).to_json()), Some(expected), "{text} like {pattern}");
    }
    for (text, pattern, expected) in [
        ("ABC", "a_C", true),
        ("ÉTÉ", "é%É", false),
        ("ÉtÉ", "É%É", true),
        ("a%C", "A\\%c", true),
        ("ß", "ẞ", false),
        ("x", "y", false),
    ] {
        assert_eq!(test(&like(pattern, true), &Value::from(text).to_json()), Some(expected), "{text} ilike {pattern}");
    }
    assert_eq!(test(&like("%", false), "null"), None);
    assert!(is_like_pattern("a\\\\") && !is_like_pattern("a\\") && !is_like_pattern("\\\\\\"));
}

#[test]
fn like_is_not_exponential() {
    let text = Value::from("a".repeat(3000)).to_json();
    assert_eq!(test(&like(&format!("{}b", "%a".repeat(20)), false), &text), Some(false));
}

#[test]
fn jsonb_containment_is_postgres_own() {
    for (whole, part, expected) in [
        ("{\"a\":1,\"b\":2}", "{\"b\":2.0}", true),
        ("{\"a\":1}", "{}", true),
        ("{\"a\":1}", "[]", false),
        ("{\"a\":{\"b\":[1,2,3]}}", "{\"a\":{\"b\":[3,1]}}", true),
        ("{\"a\":[1]}", "{\"a\":1}", false),
        ("{\"a\":1}", "{\"a\":null}", false),
        ("{\"a\":null}", "{\"a\":null}", true),
        ("[1,2,3]", "[3,1,1]", true),
        ("[1,2]", "[3]", false),
        ("[1,[2,3]]", "[[2]]", true),
        ("[1,[2,3]]", "[2]", false),
        ("[[1]]", "1", false),
        ("[1,2]", "1", true),
        ("[\"a\"]", "\"a\"", true),
        ("1", "[1]", false),
        ("1", "1.0", true),
        ("\"a\"", "\"a\"", true),
        ("[{\"a\":1},{\"b\":2}]", "[{\"b\":2}]", true),
        ("[{\"a\":1},{\"b\":2}]", "{\"b\":2}", false),
        ("[null]", "[null]", true),
        ("[]", "[]", true),
    ] {
        let expr = Expr::Contains { field: column(), element: None, with: value(part) };
        assert_eq!(test(&expr, whole), Some(expected), "{whole} @> {part}");
    }
    let expr = Expr::Contains { field: column(), element: None, with: value("{}") };
    assert_eq!(test(&expr, "null"), None);
}

#[test]
fn arrays_contain_and_overlap() {
    for (whole, part, contains, overlaps) in [
        ("[1,2,3]", "[1,3]", true, true),
        ("[1,2]", "[2,5]", false, true),
        ("[1,2]", "[]", true, false),
        ("[]", "[]", true, false),
        ("[[1,2],[3,4]]", "[4,1]", true, true),
        ("[1,null]", "[null]", false, false),
        ("[1,null]", "[1]", true, true),
        ("[1]", "[2]", false, false),
    ] {
        let expr = Expr::Contains { field: column(), element: Some(KeyClass::Numeric), with: value(part) };
        assert_eq!(test(&expr, whole), Some(contains), "{whole} @> {part}");
        let expr = Expr::Overlaps { field: column(), element: KeyClass::Numeric, with: value(part) };
        assert_eq!(test(&expr, whole), Some(overlaps), "{whole} && {part}");
    }
    let expr = Expr::Overlaps { field: column(), element: KeyClass::Int, with: value("null") };
    assert_eq!(test(&expr, "[1]"), None);
}

#[test]
fn absent_parameters_leave_their_conditions_out() {
    let param = |index| compare(Comparison::Eq, Operand::Param(index));
    let bound = |number: i64| compare(Comparison::Eq, Operand::Value(Value::Int(number)));
    let params = [Some(Value::Int(7)), None];
    let not = |expr| Expr::Not(Box::new(expr));
    for (expr, expected) in [
        (param(0), bound(7)),
        (param(1), Expr::All(vec![])),
        (Expr::All(vec![param(0), param(1)]), Expr::All(vec![bound(7)])),
        (Expr::Any(vec![param(0), param(1)]), Expr::Any(vec![bound(7)])),
        (Expr::All(vec![bound(1), Expr::Any(vec![param(1)])]), Expr::All(vec![bound(1)])),
        (Expr::Any(vec![bound(1), Expr::All(vec![param(1)])]), Expr::Any(vec![bound(1)])),
        (Expr::All(vec![bound(1), not(param(1))]), Expr::All(vec![bound(1)])),
        (not(Expr::Any(vec![param(1)])), Expr::All(vec![])),
        (Expr::Any(vec![]), Expr::Any(vec![])),
        (not(Expr::All(vec![])), not(Expr::All(vec![]))),
        (Expr::IsNull(column()), Expr::IsNull(column())),
    ] {
        assert_eq!(expr.bind(&params), expected, "{expr:?}");
    }
}

#[test]
fn an_unbound_parameter_lets_nothing_pass() {
    let expr = compare(Comparison::Ne, Operand::Param(0));
    assert_eq!(test(&expr, "1"), None);
    assert_eq!(test(&Expr::Not(Box::new(expr)), "1"), None);
}

#[test]
fn fields_and_params_are_found_at_any_depth() {
    let path = Field::Path(vec!["last".into(), "at".into()]);
    let like = Expr::Like { field: path.clone(), pattern: Operand::Param(3), fold: false };
    let expr = Expr::All(vec![
        compare(Comparison::Eq, Operand::Param(1)),
        Expr::Not(Box::new(Expr::Any(vec![like, Expr::IsNull(column())]))),
    ]);
    assert_eq!(expr.fields().collect::<Vec<_>>(), [&column(), &path, &column()]);
    assert_eq!(expr.params().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(expr.renumber(|index| index * 10).params().collect::<Vec<_>>(), [10, 30]);
}
