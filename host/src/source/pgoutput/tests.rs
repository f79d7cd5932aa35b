//! Messages written by hand, messages written by a writer of our own, and no messages at all.

use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex")).collect()
}

#[test]
fn begin_and_commit() {
    // kind, commit record, time, xid
    assert_eq!(
        parse(&hex("42 00000000016b3748 0002000000000001 000002f1")),
        Ok(Message::Begin(Begin { commit: Lsn(0x16B_3748), committed_us: 0x0002_0000_0000_0001, xid: Xid(753) }))
    );
    // kind, flags, commit record, its end, time
    let commit = Commit { commit: Lsn(0x16B_3748), end: Lsn(0x16B_3801), committed_us: -1 };
    let bytes = "00 00000000016b3748 00000000016b3801 ffffffffffffffff";
    assert_eq!(parse(&hex(&format!("43 {bytes}"))), Ok(Message::Commit(commit)));
    assert_eq!(parse(&hex(&format!("63 000002f1 {bytes}"))), Ok(Message::StreamCommit { xid: Xid(753), commit }));
    assert_eq!(
        parse(&hex("43 01 00000000016b3748 00000000016b3801 ffffffffffffffff")),
        Err(PgoutputError::Unknown { what: "flag of a commit", found: 1 })
    );
}

#[test]
fn relation_and_type() {
    let bytes = hex(
        "52 00004001 7075626c696300 757365727300 64 0002 01 696400 00000017 ffffffff 00 6e616d6500 00000413 00000044",
    );
    let expected = Relation {
        oid: 16385,
        schema: "public",
        name: "users",
        identity: ReplicaIdentity::Default,
        columns: vec![
            RelationColumn { name: "id", key: true, type_oid: 23, type_modifier: -1 },
            RelationColumn { name: "name", key: false, type_oid: 1043, type_modifier: 68 },
        ],
    };
    assert_eq!(parse(&bytes), Ok(Message::Relation(expected)));
    assert_eq!(parse(&hex("59 00004002 00 6d6f6f6400")), Ok(Message::Type { oid: 16386, schema: "", name: "mood" }));
}

#[test]
fn rows() {
    use Cell::{Binary, Null, Text, Unchanged};
    assert_eq!(
        parse(&hex("49 00004001 4e 0004 74 00000001 31 6e 75 62 00000002 ff00")),
        Ok(Message::Insert { relation: 16385, new: vec![Text("1"), Null, Unchanged, Binary(&[0xFF, 0])] })
    );
    assert_eq!(
        parse(&hex("55 00004001 4e 0001 74 00000000")),
        Ok(Message::Update { relation: 16385, old: None, new: vec![Text("")] })
    );
    assert_eq!(
        parse(&hex("55 00004001 4b 0001 74 00000001 31 4e 0001 74 00000001 32")),
        Ok(Message::Update { relation: 16385, old: Some(OldTuple::Key(vec![Text("1")])), new: vec![Text("2")] })
    );
    assert_eq!(
        parse(&hex("44 00004001 4f 0001 74 00000002 c3a9")),
        Ok(Message::Delete { relation: 16385, old: OldTuple::Full(vec![Text("é")]) })
    );
}

#[test]
fn the_other_messages() {
    assert_eq!(
        parse(&hex("54 00000002 03 00004001 00004002")),
        Ok(Message::Truncate { relations: vec![16385, 16386], cascade: true, restart_identity: true })
    );
    assert_eq!(
        parse(&hex("4d 01 0000000000000010 7000 00000002 0001")),
        Ok(Message::Logical { transactional: true, lsn: Lsn(16), prefix: "p", content: &[0, 1] })
    );
    assert_eq!(parse(&hex("4f 0000000000000010 6f00")), Ok(Message::Origin { commit: Lsn(16), name: "o" }));
    assert_eq!(parse(&hex("53 00000007 01")), Ok(Message::StreamStart { xid: Xid(7), first: true }));
    assert_eq!(parse(&hex("45")), Ok(Message::StreamStop));
    assert_eq!(parse(&hex("41 00000007 00000008")), Ok(Message::StreamAbort { top: Xid(7), xid: Xid(8) }));
}

#[test]
fn within_a_stream_messages_carry_their_transaction() {
    assert_eq!(
        parse_in_stream(&hex("49 00000007 00004001 4e 0001 6e")),
        Ok((Some(Xid(7)), Message::Insert { relation: 16385, new: vec![Cell::Null] }))
    );
    assert_eq!(parse_in_stream(&hex("45")), Ok((None, Message::StreamStop)));
}

#[test]
fn what_is_no_message_is_refused() {
    let truncated = |what, length| Err(PgoutputError::Truncated { what, length });
    assert_eq!(parse(&[]), truncated("its kind", 0));
    assert_eq!(parse(b"X"), Err(PgoutputError::UnknownKind('X')));
    assert_eq!(parse(&hex("45 00")), Err(PgoutputError::Trailing { kind: 'E', extra: 1 }));
    // Counts that no message can hold.
    assert_eq!(parse(&hex("49 00004001 4e ffff 6e")), truncated("cells", 9));
    assert_eq!(parse(&hex("49 00004001 4e 0001 74 ffffffff 31")), truncated("a cell", 14));
    assert_eq!(parse(&hex("54 ffffffff 00 00004001")), truncated("relations", 10));
    assert_eq!(parse(&hex("52 00004001 00 00 64 ffff")), truncated("columns", 10));
    assert_eq!(parse(&hex("59 00004002 00 6d6f6f64")), truncated("a type's name", 10));
    assert_eq!(
        parse(&hex("49 00004001 4e 0001 78")),
        Err(PgoutputError::Unknown { what: "kind of cell", found: 0x78 })
    );
    assert_eq!(parse(&hex("49 00004001 4f 0000")), Err(PgoutputError::Unknown { what: "kind of tuple", found: 0x4F }));
    assert_eq!(parse(&hex("49 00004001 4e 0001 74 00000001 ff")), Err(PgoutputError::NotUtf8 { what: "a cell" }));
}

/// Writes a message as the server does.
fn write(message: &Message<'_>, xid: Option<Xid>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut body = Vec::new();
    let text = |out: &mut Vec<u8>, text: &str| out.extend(text.bytes().chain([0]));
    let commit = |out: &mut Vec<u8>, commit: &Commit| {
        out.push(0);
        out.extend(commit.commit.0.to_be_bytes());
        out.extend(commit.end.0.to_be_bytes());
        out.extend(commit.committed_us.to_be_bytes());
    };
    let kind = match message {
        Message::Begin(begin) => {
            body.extend(begin.commit.0.to_be_bytes());
            body.extend(begin.committed_us.to_be_bytes());
            body.extend(begin.xid.0.to_be_bytes());
            b'B'
        }
        Message::Commit(end) => {
            commit(&mut body, end);
            b'C'
        }
        Message::Origin { commit, name } => {
            body.extend(commit.0.to_be_bytes());
            text(&mut body, name);
            b'O'
        }
        Message::Relation(relation) => {
            write_relation(relation, &mut body);
            b'R'
        }
        Message::Type { oid, schema, name } => {
            body.extend(oid.to_be_bytes());
            text(&mut body, schema);
            text(&mut body, name);
            b'Y'
        }
        Message::Insert { relation, new } => {
            body.extend(relation.to_be_bytes());
            write_tuple(b'N', new, &mut body);
            b'I'
        }
        Message::Update { relation, old, new } => {
            body.extend(relation.to_be_bytes());
            old.iter().for_each(|old| write_old(old, &mut body));
            write_tuple(b'N', new, &mut body);
            b'U'
        }
        Message::Delete { relation, old } => {
            body.extend(relation.to_be_bytes());
            write_old(old, &mut body);
            b'D'
        }
        Message::Truncate { relations, cascade, restart_identity } => {
            body.extend((relations.len() as u32).to_be_bytes());
            body.push(u8::from(*cascade) | u8::from(*restart_identity) << 1);
            body.extend(relations.iter().flat_map(|oid| oid.to_be_bytes()));
            b'T'
        }
        Message::Logical { transactional, lsn, prefix, content } => {
            body.push(u8::from(*transactional));
            body.extend(lsn.0.to_be_bytes());
            text(&mut body, prefix);
            write_counted(content, &mut body);
            b'M'
        }
        Message::StreamStart { xid, first } => {
            body.extend(xid.0.to_be_bytes());
            body.push(u8::from(*first));
            b'S'
        }
        Message::StreamStop => b'E',
        Message::StreamCommit { xid, commit: end } => {
            body.extend(xid.0.to_be_bytes());
            commit(&mut body, end);
            b'c'
        }
        Message::StreamAbort { top, xid } => {
            body.extend(top.0.to_be_bytes());
            body.extend(xid.0.to_be_bytes());
            b'A'
        }
    };
    out.push(kind);
    out.extend(xid.into_iter().flat_map(|xid| xid.0.to_be_bytes()));
    out.extend(body);
    out
}

fn write_relation(relation: &Relation<'_>, out: &mut Vec<u8>) {
    out.extend(relation.oid.to_be_bytes());
    out.extend(relation.schema.bytes().chain([0]).chain(relation.name.bytes()).chain([0]));
    out.push(match relation.identity {
        ReplicaIdentity::Default => b'd',
        ReplicaIdentity::Nothing => b'n',
        ReplicaIdentity::Full => b'f',
        ReplicaIdentity::Index => b'i',
    });
    out.extend((relation.columns.len() as u16).to_be_bytes());
    for column in &relation.columns {
        out.push(u8::from(column.key));
        out.extend(column.name.bytes().chain([0]));
        out.extend(column.type_oid.to_be_bytes());
        out.extend(column.type_modifier.to_be_bytes());
    }
}

fn write_old(old: &OldTuple<'_>, out: &mut Vec<u8>) {
    match old {
        OldTuple::Key(cells) => write_tuple(b'K', cells, out),
        OldTuple::Full(cells) => write_tuple(b'O', cells, out),
    }
}

fn write_tuple(kind: u8, cells: &[Cell<'_>], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend((cells.len() as u16).to_be_bytes());
    for cell in cells {
        match cell {
            Cell::Null => out.push(b'n'),
            Cell::Unchanged => out.push(b'u'),
            Cell::Text(text) => {
                out.push(b't');
                write_counted(text.as_bytes(), out);
            }
            Cell::Binary(bytes) => {
                out.push(b'b');
                write_counted(bytes, out);
            }
        }
    }
}

fn write_counted(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

/// Names and contents that messages can borrow.
const NAMES: [&str; 4] = ["", "users", "naïve \"name\"", "\u{1F600}"];

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&NAMES[..])
}

fn cells() -> impl Strategy<Value = Tuple<'static>> {
    let cell = prop_oneof![
        Just(Cell::Null),
        Just(Cell::Unchanged),
        name().prop_map(Cell::Text),
        name().prop_map(|name| Cell::Binary(name.as_bytes())),
    ];
    prop::collection::vec(cell, 0..6)
}

fn old() -> impl Strategy<Value = OldTuple<'static>> {
    (any::<bool>(), cells()).prop_map(|(full, cells)| if full { OldTuple::Full(cells) } else { OldTuple::Key(cells) })
}

fn relation_message() -> impl Strategy<Value = Message<'static>> {
    use ReplicaIdentity::*;
    let column = (name(), any::<bool>(), any::<u32>(), any::<i32>())
        .prop_map(|(name, key, type_oid, type_modifier)| RelationColumn { name, key, type_oid, type_modifier });
    let identity = prop::sample::select(vec![Default, Nothing, Full, Index]);
    (any::<u32>(), name(), name(), identity, prop::collection::vec(column, 0..5)).prop_map(
        |(oid, schema, name, identity, columns)| Message::Relation(Relation { oid, schema, name, identity, columns }),
    )
}

fn message() -> impl Strategy<Value = Message<'static>> {
    let commit = any::<(u64, u64, i64)>().prop_map(|(commit, end, committed_us)| Commit {
        commit: Lsn(commit),
        end: Lsn(end),
        committed_us,
    });
    let commit = commit.boxed();
    prop_oneof![
        any::<(u64, i64, u32)>().prop_map(|(commit, committed_us, xid)| {
            Message::Begin(Begin { commit: Lsn(commit), committed_us, xid: Xid(xid) })
        }),
        commit.clone().prop_map(Message::Commit),
        (any::<u64>(), name()).prop_map(|(commit, name)| Message::Origin { commit: Lsn(commit), name }),
        relation_message(),
        (any::<u32>(), name(), name()).prop_map(|(oid, schema, name)| Message::Type { oid, schema, name }),
        (any::<u32>(), cells()).prop_map(|(relation, new)| Message::Insert { relation, new }),
        (any::<u32>(), prop::option::of(old()), cells()).prop_map(|(relation, old, new)| Message::Update {
            relation,
            old,
            new
        }),
        (any::<u32>(), old()).prop_map(|(relation, old)| Message::Delete { relation, old }),
        (prop::collection::vec(any::<u32>(), 0..5), any::<(bool, bool)>()).prop_map(
            |(relations, (cascade, restart_identity))| Message::Truncate { relations, cascade, restart_identity }
        ),
        (any::<(bool, u64)>(), name(), name()).prop_map(|((transactional, lsn), prefix, content)| {
            Message::Logical { transactional, lsn: Lsn(lsn), prefix, content: content.as_bytes() }
        }),
        any::<(u32, bool)>().prop_map(|(xid, first)| Message::StreamStart { xid: Xid(xid), first }),
        Just(Message::StreamStop),
        (any::<u32>(), commit).prop_map(|(xid, commit)| Message::StreamCommit { xid: Xid(xid), commit }),
        any::<(u32, u32)>().prop_map(|(top, xid)| Message::StreamAbort { top: Xid(top), xid: Xid(xid) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn written_messages_come_back(message in message(), cut in any::<prop::sample::Index>()) {
        let bytes = write(&message, None);
        prop_assert_eq!(parse(&bytes), Ok(message));
        prop_assert!(parse(&bytes[..cut.index(bytes.len())]).is_err(), "a part of a message is none");
        prop_assert!(parse(&[&bytes[..], &[0]].concat()).is_err(), "nothing follows a message");
    }

    #[test]
    fn written_messages_come_back_from_a_stream(message in message(), xid: u32) {
        let has_xid = !matches!(
            message,
            Message::Begin(_) | Message::Commit(_) | Message::Origin { .. } | Message::StreamStart { .. }
                | Message::StreamStop | Message::StreamCommit { .. } | Message::StreamAbort { .. }
        );
        let xid = has_xid.then_some(Xid(xid));
        let bytes = write(&message, xid);
        prop_assert_eq!(parse_in_stream(&bytes), Ok((xid, message)));
    }

    #[test]
    fn any_bytes_give_a_message_or_an_error(kind in "[BCORYIUDTMSEcAX]", rest: Vec<u8>) {
        let bytes = [kind.as_bytes(), &rest].concat();
        let _ = parse(&bytes);
        let _ = parse_in_stream(&bytes);
    }

    #[test]
    fn damaged_messages_do_no_harm(message in message(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = write(&message, None);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = parse(&bytes);
    }
}
