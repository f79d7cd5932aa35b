//! Every built-in type of Postgres 15 that a column can have, with values at its extremes, as SQL literals.
//!
//! For each expression a row's JSON must equal `to_jsonb` of it, by the stream and by an upquery alike. Expressions are
//! literals without a cast (`'...'`), or whole expressions where a literal does not do; a test writes `(expr)::type`.
//! Null belongs to every type and is not listed. Left out are the pseudo-types of statistics that accept no input
//! (`pg_node_tree`, `pg_ndistinct`, `pg_dependencies`, `pg_mcv_list`, the BRIN summaries, `gtsvector`), and what `to_jsonb`
//! itself fails on (`json` with `\u0000`, with half a surrogate pair or with numbers beyond `numeric`).
//!
//! Types that are not built in, which [`SETUP`] creates, stand for enums, domains, composites and their arrays.

/// Types the matrix needs beyond the built-in ones.
pub const SETUP: &str = r#"
create type mood as enum ('sad', 'ok', 'happy "very"');
create domain positive as int4 check (value > 0);
create domain tags as text[];
create domain wide as numeric(60, 10);
create type pair as (a int4, b text);
create type "Odd Name" as ("the ""pair""" pair, moods mood[], at timestamptz, data jsonb, amount numeric, empty text);
create type nothing as ();
create domain checked_pair as pair;
create type float_range as range (subtype = float8);
"#;

/// A type as SQL writes it, and expressions of it.
pub type Case = (&'static str, &'static [&'static str]);

/// Scalars: numbers, texts, bits, identifiers.
pub const SCALARS: &[Case] = &[
    ("bool", &["true", "false"]),
    ("int2", &["'-32768'", "'0'", "'32767'"]),
    ("int4", &["'-2147483648'", "'0'", "'2147483647'"]),
    ("int8", &["'-9223372036854775808'", "'0'", "'9223372036854775807'", "'9007199254740993'"]),
    (
        "float4",
        &[
            "'0'",
            "'-0'",
            "'0.1'",
            "'1e-45'",
            "'1.1754944e-38'",
            "'3.4028235e38'",
            "'-3.4028235e+38'",
            "'16777217'",
            "'1e20'",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
        ],
    ),
    (
        "float8",
        &[
            "'0'",
            "'-0'",
            "'0.1'",
            "'5e-324'",
            "'2.2250738585072014e-308'",
            "'1.7976931348623157e308'",
            "'1e15'",
            "'1e16'",
            "'123456789012345678'",
            "'9007199254740993'",
            "'-1.5e-7'",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
        ],
    ),
    (
        "numeric",
        &[
            "'0'",
            "'0.00'",
            "'-0'",
            "'1.50'",
            "'1e2'",
            "'1.5e-3'",
            "'-123456789012345678901234567890.123456789'",
            "'1e131071'",
            "'1e-16383'",
            "repeat('9', 131072)::numeric",
            "'18446744073709551616'",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
        ],
    ),
    ("numeric(10,3)", &["'1'", "'-9999999.999'", "'0.0005'"]),
    ("numeric(5,-2)", &["'12345'"]),
    ("money", &["'0'", "'-92233720368547758.08'", "'92233720368547758.07'", "'1234.5'"]),
    (
        "text",
        &[
            "''",
            "' '",
            "'null'",
            "'NULL'",
            r#"'a "quote" \ back'"#,
            r"E'\t\n\r\b\f\x01\x1f\x7f'",
            "'日本語 😀 e\u{301}'",
            "repeat('long ', 2000)",
            r#"'{"not": "json"}'"#,
            "'{1,2}'",
            "'(a,b)'",
            r"'\u0041'",
            "U&'\\2028\\FEFF'",
            "'</script>'",
        ],
    ),
    ("varchar", &["''", "'abc'"]),
    ("varchar(3)", &["'abc'", "'é'"]),
    ("char(5)", &["''", "'ab'", "'abcde'", "'é'"]),
    ("bpchar", &["'ab  '"]),
    ("\"char\"", &["'a'", "''", r"E'\x7f'"]),
    ("name", &["''", "'users'", "repeat('n', 63)"]),
    ("bytea", &["''", r"'\x00'", r"'\xdeadBEEF'", r"'\\x'", "decode(repeat('ff', 1000), 'hex')"]),
    ("bit(3)", &["'101'", "'000'"]),
    ("bit varying", &["''", "'1'", "'10101010101010101'"]),
    ("uuid", &["'00000000-0000-0000-0000-000000000000'", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"]),
    ("xml", &["'<a b=\"c\">d&amp;</a>'", "'text'"]),
    ("oid", &["'0'", "'4294967295'"]),
    ("xid", &["'0'", "'4294967295'"]),
    ("xid8", &["'0'", "'18446744073709551615'"]),
    ("cid", &["'7'"]),
    ("tid", &["'(0,1)'", "'(4294967295,65535)'"]),
    ("pg_lsn", &["'0/0'", "'FFFFFFFF/FFFFFFFF'"]),
    ("pg_snapshot", &["'10:20:10,14,15'", "'1:1:'"]),
    ("txid_snapshot", &["'10:20:10,14,15'"]),
    ("aclitem", &["'=r/postgres'"]),
    ("refcursor", &["'cursor \"x\"'"]),
    ("regclass", &["'pg_class'", "0"]),
    ("regcollation", &["'\"C\"'"]),
    ("regconfig", &["'english'"]),
    ("regdictionary", &["'simple'"]),
    ("regnamespace", &["'pg_catalog'"]),
    ("regoper", &["'|/'"]),
    ("regoperator", &["'+(int4,int4)'"]),
    ("regproc", &["'now'"]),
    ("regprocedure", &["'abs(numeric)'"]),
    ("regrole", &["'postgres'"]),
    ("regtype", &["'int4'", "'timestamptz[]'"]),
];

/// Dates and times.
pub const TIMES: &[Case] = &[
    (
        "date",
        &[
            "'2020-02-29'",
            "'0001-01-01'",
            "'0001-12-31 BC'",
            "'0044-03-15 BC'",
            "'4714-11-24 BC'",
            "'9999-12-31'",
            "'10000-01-01'",
            "'5874897-12-31'",
            "'infinity'",
            "'-infinity'",
        ],
    ),
    ("time", &["'00:00'", "'24:00'", "'23:59:59.999999'", "'12:34:56.7'"]),
    ("time(2)", &["'12:34:56.789'"]),
    ("timetz", &["'00:00+15:59:59'", "'24:00-15:59'", "'12:34:56.7+00'", "'12:00+05:30'"]),
    (
        "timestamp",
        &[
            "'2020-01-02 03:04:05'",
            "'2020-01-02 03:04:05.600001'",
            "'2020-01-02 03:04:05.1'",
            "'4714-11-24 00:00:00 BC'",
            "'0044-03-15 12:00:00.5 BC'",
            "'294276-12-31 23:59:59.999999'",
            "'10000-01-01'",
            "'infinity'",
            "'-infinity'",
        ],
    ),
    ("timestamp(0)", &["'2020-01-02 03:04:05.5'"]),
    (
        "timestamptz",
        &[
            "'2020-01-02 03:04:05+00'",
            "'2020-01-02 03:04:05.600001-03:30'",
            "'1900-01-01 00:00 Europe/Amsterdam'",
            "'4714-11-24 00:00:00+00 BC'",
            "'0044-03-15 12:00:00.5+00 BC'",
            "'294276-12-31 23:59:59.999999+00'",
            "'10000-01-01+00'",
            "'infinity'",
            "'-infinity'",
        ],
    ),
    (
        "interval",
        &[
            "'0'",
            "'1 year 2 mons -3 days 04:05:06.789'",
            "'-178000000 years'",
            "'178000000 years'",
            "'-1 day +00:00:00.000001'",
            "'2562047788:00:54.775807'",
        ],
    ),
    ("interval day to second(3)", &["'1 day 00:00:01.2345'"]),
];

/// JSON, full text, networks, geometry.
pub const STRUCTURED: &[Case] = &[
    (
        "json",
        &[
            "'null'",
            "'true'",
            "'-0'",
            "'1E+2'",
            "'1.50'",
            "'\"\"'",
            r#"'"\u00e9\ud83d\ude00\/\n\u001f"'"#,
            "'[]'",
            "'{}'",
            "' { \"b\" : 1 , \"a\" : [ ] } '",
            r#"'{"a":1,"a":{"x":2},"aa":[1.0,"x",null]}'"#,
            "'123456789012345678901234567890.10'",
            "(repeat('[', 500) || repeat(']', 500))::json",
        ],
    ),
    (
        "jsonb",
        &[
            "'null'",
            "'false'",
            "'-0.0'",
            "'1E+2'",
            "'1.50'",
            "'\"\"'",
            r#"'"\u00e9\ud83d\ude00\/\n\u001f"'"#,
            "'[[],{}]'",
            r#"'{"b":1,"a":2,"aa":{"x":[1,{"y":null}]},"":0}'"#,
            "'123456789012345678901234567890.10'",
            "'1e-300'",
            "(repeat('[', 500) || repeat(']', 500))::jsonb",
        ],
    ),
    ("jsonpath", &["'$'", r#"'strict $.a[*] ? (@.b == "x")'"#]),
    ("tsvector", &["''", "'a fat cat sat:1,2A'", r"$$'the' 'qu''ote' 'back\\slash':3B$$"]),
    ("tsquery", &["''", "'fat & (rat | !cat:AB) <-> x:*'"]),
    ("inet", &["'0.0.0.0'", "'192.168.1.5/24'", "'::1'", "'2001:db8::ff00:42:8329/64'"]),
    ("cidr", &["'10.0.0.0/8'", "'::/0'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    ("point", &["'(0,-0)'", "'(1e300,-1e-300)'", "'(Infinity,NaN)'"]),
    ("line", &["'{1,-1,0}'"]),
    ("lseg", &["'[(0,0),(1,1)]'"]),
    ("box", &["'(1,1),(0,0)'"]),
    ("path", &["'((0,0),(1,1),(2,0))'", "'[(0,0),(1,1)]'"]),
    ("polygon", &["'((0,0),(1,1),(2,0))'"]),
    ("circle", &["'<(0,0),1.5>'"]),
];

/// Ranges and multiranges.
pub const RANGES: &[Case] = &[
    ("int4range", &["'empty'", "'[1,5]'", "'(,)'", "'[-2147483648,2147483647)'"]),
    ("int8range", &["'empty'", "'[1,9223372036854775807)'"]),
    ("numrange", &["'[1.5,2.50]'", "'(,1e10)'", "'[NaN,NaN]'", "'[1,Infinity]'"]),
    ("daterange", &["'[2020-01-01,infinity)'", "'[0044-03-15 BC,2020-01-01)'"]),
    ("tsrange", &["'[2020-01-01 00:00:00.5,)'", "'[-infinity,infinity]'"]),
    ("tstzrange", &["'[2020-01-01 00:00+02,2020-01-02 00:00+00)'"]),
    ("int4multirange", &["'{}'", "'{[1,3),[5,7)}'"]),
    ("int8multirange", &["'{[1,3),[5,)}'"]),
    ("nummultirange", &["'{[1.5,2.5),(3,)}'"]),
    ("datemultirange", &["'{[2020-01-01,2020-02-01)}'"]),
    ("tsmultirange", &["'{[2020-01-01,2020-02-01),[2021-01-01,)}'"]),
    ("tstzmultirange", &["'{[2020-01-01 00:00+00,2020-02-01 00:00+00)}'"]),
    ("float_range", &["'[0.1,1e300)'"]),
];

/// Arrays of several dimensions and of awkward elements.
pub const ARRAYS: &[Case] = &[
    ("bool[]", &["'{t,f,NULL}'"]),
    (
        "int4[]",
        &[
            "'{}'",
            "'{1,NULL,-3}'",
            "'{{1,2},{3,4}}'",
            "'[0:2]={1,2,3}'",
            "'[-1:0][5:6]={{1,2},{3,NULL}}'",
            "'{{{{{{1}}}}}}'",
        ],
    ),
    ("int8[]", &["'{9223372036854775807}'"]),
    ("float8[]", &["'{NaN,Infinity,-0,1e20}'"]),
    ("numeric[]", &["'{1.50,NaN,1e30}'"]),
    (
        "text[]",
        &[
            "'{}'",
            "array['']",
            "array[null, 'NULL', 'null', '']",
            r#"array['a,b', '{c}', 'd"e', 'f\g', ' h ', 'é😀', E'\n']"#,
            "array[array['a'], array[null]]",
            "array['[0:1]={x}', '(a,b)', ';']",
        ],
    ),
    ("varchar(3)[]", &["'{abc,d}'"]),
    ("char(4)[]", &["'{ab,\"\"}'"]),
    ("bytea[]", &[r"array['\x00ff'::bytea, '']"]),
    ("date[]", &["'{2020-01-01,0044-03-15 BC,infinity}'"]),
    ("timestamp[]", &["'{2020-01-01 00:00:00.5,0044-03-15 00:00:00 BC,-infinity}'"]),
    ("timestamptz[]", &["'{2020-01-01 00:00:00+02,infinity}'"]),
    ("interval[]", &["'{1 day -01:00:00}'"]),
    ("json[]", &[r#"array['{"a": [1, "x"]}'::json, 'null', '"s"', null]"#]),
    ("jsonb[]", &[r#"array['{"a": [1, "\\"]}'::jsonb, 'null', '[]', null]"#]),
    ("uuid[]", &["'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'"]),
    ("box[]", &["'{(1,1),(0,0);(2,2),(1,1)}'", "'{}'"]),
    ("point[]", &[r#"'{"(1,2)",NULL}'"#]),
    ("int4range[]", &[r#"'{"[1,5)",empty}'"#]),
    ("int4multirange[]", &[r#"'{"{[1,5)}"}'"#]),
    ("oid[]", &["'{1,4294967295}'"]),
    ("name[]", &["'{a,b c}'"]),
    ("money[]", &["'{\"$1,234.50\"}'"]),
    ("\"char\"[]", &["'{a,b}'"]),
    ("xml[]", &["array['<a x=\"1\"/>'::xml]"]),
    ("int2vector", &["''", "'1 -2 3'"]),
    ("oidvector", &["''", "'1 4294967295'"]),
    ("int2vector[]", &["'{\"1 2\",\"\"}'"]),
];

/// Enums, domains, composites (see [`SETUP`]).
pub const OWN: &[Case] = &[
    ("mood", &["'sad'", "'happy \"very\"'"]),
    ("mood[]", &["array['sad', 'happy \"very\"', null]::mood[]"]),
    ("positive", &["1", "2147483647"]),
    ("positive[]", &["'{1,NULL,2}'"]),
    ("tags", &["'{}'", "array['a', 'b c', null]"]),
    ("tags[]", &["array['{a,b}'::tags, '{}'::tags, null]"]),
    ("wide", &["'1.5'", "'-99999999999999999999999999999999999999999999999999.9999999999'"]),
    (
        "pair",
        &["row(1, 'a')", "row(null, null)", "row(null, '')", r#"row(-1, 'a "quote", (x) \ ''y'' é')"#, "row(1, ' ')"],
    ),
    ("pair[]", &[r#"array[row(1, 'a"b\c'), row(null, null), null]::pair[]"#, "array[array[row(1, 'x')]]::pair[]"]),
    (
        "\"Odd Name\"",
        &[
            r#"row(row(1, 'a "b" \ c'), array['happy "very"']::mood[], '2020-01-01 00:00+00', '{"k": ["v\"w"]}', 1.50, '')"#,
            "row(null, null, null, null, null, null)",
            "row(row(null, null), '{}', 'infinity', 'null', 'NaN', null)",
        ],
    ),
    ("\"Odd Name\"[]", &[r#"array[row(row(1, 'x"y'), array['sad']::mood[], null, '["\\"]', 0, 'é')]::"Odd Name"[]"#]),
    ("nothing", &["row()::nothing"]),
    ("checked_pair", &["row(1, 'a')"]),
];

/// All cases.
pub fn all() -> impl Iterator<Item = Case> {
    [SCALARS, TIMES, STRUCTURED, RANGES, ARRAYS, OWN].into_iter().flatten().copied()
}
