//! The catalogue of the tests: users and places, and a table for each thing that can be wrong with one.

use std::sync::Arc;

use crate::data::{
    Catalogue, CatalogueColumn, CatalogueTable, ColumnType, Decode, ForeignKey, KeyClass, ReplicaIdentity, TableKind,
    UniqueKey,
};

fn types() -> Vec<ColumnType> {
    let plain = |oid, sql: &str, decode, class| ColumnType { oid, sql: sql.into(), decode, class, element: None };
    let labels = ["low".into(), "high".into()].into();
    let level = KeyClass::Enum { sql: "public.level".into(), labels };
    vec![
        plain(16, "bool", Decode::Bool, Some(KeyClass::Bool)),
        plain(21, "int2", Decode::Number, Some(KeyClass::Int)),
        plain(23, "int4", Decode::Number, Some(KeyClass::Int)),
        plain(20, "int8", Decode::Number, Some(KeyClass::Int)),
        plain(700, "float4", Decode::Number, Some(KeyClass::Float)),
        plain(701, "float8", Decode::Number, Some(KeyClass::Float)),
        plain(1700, "numeric", Decode::Number, Some(KeyClass::Numeric)),
        plain(25, "text", Decode::Text, Some(KeyClass::Text)),
        plain(1042, "bpchar", Decode::Text, Some(KeyClass::BpChar)),
        plain(2950, "uuid", Decode::Text, Some(KeyClass::Uuid)),
        plain(1184, "timestamptz", Decode::Timestamptz, Some(KeyClass::Timestamptz)),
        plain(1186, "interval", Decode::Text, None),
        plain(3802, "jsonb", Decode::Json, None),
        plain(900, "public.level", Decode::Text, Some(level)),
    ]
}

fn array(element: &ColumnType) -> ColumnType {
    ColumnType {
        oid: element.oid + 10_000,
        sql: format!("{}[]", element.sql).into(),
        decode: Decode::Array { element: Box::new(element.decode.clone()), delimiter: b',' },
        class: None,
        element: Some(Arc::new(element.clone())),
    }
}

/// `name type`, `name type!` for not null; with `=` before it generated.
fn column(text: &str, catalogue: &Catalogue) -> CatalogueColumn {
    let (name, ty) = text.trim().split_once(' ').expect("a name and a type");
    let (name, generated) = name.strip_prefix('=').map_or((name, false), |name| (name, true));
    let (ty, not_null) = ty.strip_suffix('!').map_or((ty, false), |ty| (ty, true));
    let ty = catalogue.find_type(ty).expect("a type of the test catalogue").clone();
    CatalogueColumn { name: name.into(), ty, not_null, generated }
}

/// A table with a primary key on its columns up to `key`.
fn table<'c>(catalogue: &'c mut Catalogue, name: &str, columns: &str, key: usize) -> &'c mut CatalogueTable {
    let (schema, name) = name.split_once('.').unwrap_or(("public", name));
    let columns = columns.split(',').map(|text| column(text, catalogue)).collect();
    catalogue.tables.push(CatalogueTable {
        oid: 100 + u32::try_from(catalogue.tables.len()).expect("few tables"),
        schema: schema.into(),
        name: name.into(),
        kind: TableKind::Table,
        columns,
        primary_key: (key > 0).then(|| (0..key).collect()),
        primary_key_deferrable: false,
        unique: Vec::new(),
        foreign_keys: Vec::new(),
        identity: ReplicaIdentity::Default,
        row_security: false,
        leaves: Vec::new(),
        inherits: false,
        partition_of: None,
    });
    catalogue.tables.last_mut().expect("just pushed")
}

fn key(catalogue: &mut Catalogue, from: &str, column: &str, to: &str) {
    let to = catalogue.find("public", to).expect("a table of the test catalogue");
    let (oid, referenced) = (to.oid, to.primary_key.clone().expect("a primary key"));
    let from = catalogue.tables.iter_mut().find(|table| &*table.name == from).expect("a table of the test catalogue");
    let columns = column.split('+').map(|column| from.column(column).expect("a column")).collect();
    from.foreign_keys.push(ForeignKey {
        name: format!("{column}_fkey").into(),
        columns,
        references: oid,
        referenced_columns: referenced,
    });
}

/// See the module's doc.
pub fn catalogue() -> Catalogue {
    let mut made = Catalogue { server_version: 150_000, ..Catalogue::default() };
    for ty in types() {
        let array = array(&ty);
        made.types.insert(array.sql.clone(), Arc::new(array));
        made.types.insert(ty.sql.clone(), Arc::new(ty));
    }
    let c = &mut made;
    let users = table(c, "users", "id int4!,name text!,email text,password_hash text", 1);
    users.unique.push(UniqueKey { name: "users_email_key".into(), columns: vec![2] });
    table(
        c,
        "places",
        "id int4!,name text!,rating numeric,owner_id int8,tags text[],meta jsonb,level public.level,created_at timestamptz,opens int4,closes int4,ratio float4,code bpchar,span interval",
        1,
    );
    table(c, "users_places", "user_id int4!,place_id int4!,role text", 0).identity = ReplicaIdentity::Full;
    table(c, "users_followeds", "id int8!,user_id int4!,followed_id int4!", 1);
    table(c, "posts", "id int8!,author_id int4!,editor_id int4,title text!,=slug text", 1);
    table(c, "nodes_tree", "id int4!,parent_id int4", 1);
    table(c, "messages", "id uuid!,tenant_id int8!,body text", 1).row_security = true;
    table(c, "members", "tenant_id int8!,id int4!,name text", 2);
    table(c, "member_notes", "id int4!,tenant_id int8!,member_id int4!,note text", 1);
    table(c, "log", "line text,at timestamptz", 0);
    table(c, "nokey_index", "email text!,id int4!", 0).identity = ReplicaIdentity::Index(vec![0]);
    table(c, "people", "id int4!,name text", 1).kind = TableKind::View;
    table(c, "scratch", "id int4!", 1).kind = TableKind::Unlogged;
    table(c, "remote", "id int4!", 1).kind = TableKind::Foreign;
    table(c, "part_1", "id int4!", 1).partition_of = Some(100);
    table(c, "old_style", "id int4!", 1).inherits = true;
    table(c, "audit.events", "id int8!,user_id int4", 1);
    key(c, "users_places", "user_id", "users");
    key(c, "users_places", "place_id", "places");
    key(c, "users_followeds", "user_id", "users");
    key(c, "users_followeds", "followed_id", "users");
    key(c, "places", "owner_id", "users");
    key(c, "posts", "author_id", "users");
    key(c, "posts", "editor_id", "users");
    key(c, "nodes_tree", "parent_id", "nodes_tree");
    key(c, "member_notes", "tenant_id+member_id", "members");
    key(c, "events", "user_id", "users");
    made
}
