//! What the documents must be, written without looking at the plan.

use std::cmp::Ordering;

use super::queries::{FILTER, MAP, REDUCE, guest};
use super::world::{FOLLOWS, PLACES, State, USERS};
use crate::data::{Row, TableId, Value};
use crate::dataflow::guest::GuestCall;
use crate::dataflow::plan::{DocumentId, NodeId, OnError};
use crate::dataflow::{Blocked, Versions};

/// The database, the nodes, and the bounds a document is held to.
pub(super) struct Oracle<'a> {
    pub state: &'a State,
    pub versions: &'a Versions,
    pub on_error: OnError,
    /// The most elements a list may have.
    pub limit: usize,
    /// Whose places the database refuses to tell.
    pub refused: Option<i64>,
    /// Everything is known from upqueries, so that join rows are counted too.
    pub is_fresh: bool,
}

/// A document or part of it; otherwise why there is none.
type Shown<T> = Result<T, Blocked>;

impl Oracle<'_> {
    /// What the document must be, or why it may not be emitted at all.
    pub(super) fn document(&self, document: DocumentId, params: &[Option<Value>]) -> Shown<Value> {
        let int = |index: usize| match &params[index] {
            Some(Value::Int(value)) => Some(*value),
            _ => None,
        };
        let id = int(0).expect("the first parameter is always given");
        match document.0 {
            0 => match self.user(Some(id)) {
                Some(user) => self.with_friends(&user, &params[1], &params[2]),
                None => Ok(Value::Null),
            },
            1 => {
                let mut places = self.bounded(self.places_between(int(1), &params[3]))?;
                places.sort_by(by_rating);
                Ok(Value::array(places.iter().skip(1).take(limit(int(2))).map(place)))
            }
            2 => self.staged(&params[4]),
            3 => self.reduced(&params[1], int(1), &params[3]),
            4 => self.named(id, &params[1], &params[2]),
            5 => {
                let places = self.places_between(int(1), &None);
                let found = places.iter().find(|row| number(row, 0) == Some(id));
                Ok(found.map_or(Value::Null, |row| {
                    let owner = self.user(number(row, 1)).map_or(Value::Null, |owner| user(&owner));
                    with(place(row), "owner", owner)
                }))
            }
            6 => {
                let mut users = self.rows(USERS);
                users.retain(|user| text(user, 2).is_some() && text(user, 2) == parameter(&params[4]));
                let mut users = self.bounded(users)?;
                users.sort_by(|a, b| falling(text(a, 1), text(b, 1)).then(number(a, 0).cmp(&number(b, 0))));
                Ok(Value::array(users.iter().map(large_user)))
            }
            7 => {
                let mut users = self.rows(USERS);
                // An absent parameter leaves its condition out.
                let is_less = |user: &Row| {
                    text(user, 2).is_some_and(|text| parameter(&params[4]).is_some_and(|most| text < most))
                };
                users.retain(|user| params[4].is_none() || is_less(user));
                let mut users = self.bounded(users)?;
                let key = |user: &Row| (user.get(2).is_null(), user.get(2).to_json(), number(user, 0));
                users.sort_by_key(key);
                Ok(Value::array(users.iter().map(large_user)))
            }
            _ => {
                let mut rows = self.rows(FOLLOWS);
                rows.retain(|row| number(row, 0) == Some(id));
                let mut rows = self.bounded(rows)?;
                rows.sort_by_key(|row| (number(row, 1).is_none(), number(row, 1)));
                let row = |row: &Row| object([("follower", row.get(0).clone()), ("followed", row.get(1).clone())]);
                Ok(Value::array(rows.iter().take(limit(int(2))).map(row)))
            }
        }
    }

    fn rows(&self, table: TableId) -> Vec<Row> {
        let of_table = self.state.iter().filter(|((other, _), _)| *other == table.0);
        of_table.flat_map(|(_, (row, count))| std::iter::repeat_n(row.clone(), *count as usize)).collect()
    }

    /// The elements a list starts from, if they are not too many.
    fn bounded<T>(&self, elements: Vec<T>) -> Shown<Vec<T>> {
        if elements.len() > self.limit { Err(Blocked::TooLong) } else { Ok(elements) }
    }

    /// Join rows: an upquery finds one more than a list may have, before it gives up.
    fn joins(&self, rows: Vec<Row>) -> Shown<Vec<Row>> {
        if self.is_fresh && rows.len() > self.limit + 1 { Err(Blocked::TooLong) } else { Ok(rows) }
    }

    fn user(&self, id: Option<i64>) -> Option<Row> {
        self.rows(USERS).into_iter().find(|row| id.is_some() && number(row, 0) == id)
    }

    fn places_of(&self, owner: Option<i64>) -> Shown<Vec<Row>> {
        if owner.is_some() && owner == self.refused {
            return Err(Blocked::Refused);
        }
        Ok(self.rows(PLACES).into_iter().filter(|row| owner.is_some() && number(row, 1) == owner).collect())
    }

    fn places_between(&self, rating: Option<i64>, most: &Option<Value>) -> Vec<Row> {
        let mut places = self.rows(PLACES);
        // An absent parameter leaves its conditions out; a null meets none.
        places.retain(|row| rating.is_none() || number(row, 2).is_some_and(|have| Some(have) >= rating));
        match most {
            None => {}
            Some(Value::Int(most)) => places.retain(|row| {
                number(row, 2).is_some_and(|rating| rating <= *most) && number(row, 3).is_some_and(|note| note < *most)
            }),
            Some(_) => places.clear(),
        }
        places
    }

    /// `Ok(None)`: skipped.
    fn ask(&self, node: NodeId, args: Value, input: Value) -> Shown<Option<Value>> {
        let (version, tick) = self.versions.0[node.0 as usize].ok_or(Blocked::Held)?;
        match guest(&GuestCall::new(node, version, tick, args, input)) {
            Ok(answer) => Ok(Some(answer)),
            Err(_) if self.on_error == OnError::Hold => Err(Blocked::Held),
            Err(_) if self.on_error == OnError::Null => Ok(Some(Value::Null)),
            Err(_) => Ok(None),
        }
    }

    fn is_kept(&self, args: Value, input: Value) -> Shown<bool> {
        Ok(matches!(self.ask(FILTER, args, input)?, Some(Value::Bool(true))))
    }

    fn with_friends(&self, user: &Row, min: &Option<Value>, most: &Option<Value>) -> Shown<Value> {
        let id = number(user, 0);
        let mut follows = self.rows(FOLLOWS);
        follows.retain(|row| number(row, 0) == id && id.is_some());
        let follows = self.joins(follows)?;
        let friends = follows.iter().filter_map(|follow| self.user(number(follow, 1))).collect();
        let mut friends: Vec<Row> = self.bounded(friends)?;
        friends.sort_by(by_name);
        let friends = friends.iter().map(|friend| {
            let places = self.scored(number(friend, 0), min, most)?;
            Ok(with(large_user(friend), "places", places))
        });
        let friends = friends.collect::<Shown<Vec<Value>>>()?;
        let mut own = self.bounded(self.places_of(id)?)?;
        own.sort_by(by_rating);
        Ok(object([
            ("id", user.get(0).clone()),
            ("name", user.get(1).clone()),
            ("friends", Value::array(friends)),
            ("best", own.first().map_or(Value::Null, place)),
        ]))
    }

    fn scored(&self, owner: Option<i64>, min: &Option<Value>, most: &Option<Value>) -> Shown<Value> {
        let mut scored = Vec::new();
        for row in self.bounded(self.places_of(owner)?)? {
            if !self.is_kept(object(min.iter().map(|value| ("min", value.clone()))), place(&row))? {
                continue;
            }
            let Some(score) = self.ask(MAP, object([]), place(&row))? else { continue };
            let passes = match (&score, most) {
                (_, None) => true,
                (Value::Int(score), Some(Value::Int(most))) => score < most,
                _ => false,
            };
            if passes {
                scored.push((score, row));
            }
        }
        scored.sort_by_key(|(score, row)| match score {
            // Nulls first where it falls.
            Value::Int(score) => (1, -score, number(row, 0)),
            _ => (0, 0, number(row, 0)),
        });
        Ok(Value::array(scored.into_iter().take(2).map(|(score, row)| with(place(&row), "score", score))))
    }

    fn staged(&self, above: &Option<Value>) -> Shown<Value> {
        let mut users = self.rows(USERS);
        users.retain(|user| !user.get(1).is_null());
        let is_above =
            |user: &Row| text(user, 2).is_some_and(|text| parameter(above).is_some_and(|above| text > above));
        users.retain(|user| above.is_none() || is_above(user));
        let mut users = self.bounded(users)?;
        users.sort_by(by_name);
        users.truncate(3);
        let mut kept = Vec::new();
        for row in users {
            let Some(score) = self.ask(MAP, object([]), object([("id", row.get(0).clone())]))? else { continue };
            let element = with(user(&row), "score", score);
            if self.is_kept(object([]), element.clone())? {
                kept.push((row, element));
            }
        }
        kept.sort_by(|(a, _), (b, _)| falling(text(a, 2), text(b, 2)).then(number(a, 0).cmp(&number(b, 0))));
        Ok(Value::array(kept.into_iter().take(2).map(|(_, element)| element)))
    }

    fn reduced(&self, from: &Option<Value>, rating: Option<i64>, most: &Option<Value>) -> Shown<Value> {
        let mut places = self.bounded(self.places_between(rating, most))?;
        places.sort_by_key(|row| (number(row, 3).is_none(), number(row, 3), number(row, 0)));
        let input = places.iter().skip(1).map(|row| object([("id", row.get(0).clone()), ("note", row.get(3).clone())]));
        let args = object(from.iter().map(|value| ("from", value.clone())));
        Ok(self.ask(REDUCE, args, Value::array(input))?.unwrap_or(Value::Null))
    }

    fn named(&self, id: i64, min: &Option<Value>, most: &Option<Value>) -> Shown<Value> {
        if self.user(Some(id)).is_none() {
            return Ok(Value::Null);
        }
        let mut pairs = Vec::new();
        for place in self.joins(self.places_of(Some(id))?)? {
            pairs.extend(self.user(number(&place, 2)).map(|user| (place, user)));
        }
        let mut kept = Vec::new();
        for (place, row) in self.bounded(pairs)? {
            let element = with(user(&row), "places", self.scored(number(&row, 0), min, most)?);
            let element = with(with(element, "note", place.get(3).clone()), "place", place.get(0).clone());
            if self.is_kept(object([]), element.clone())? {
                // Falling, nulls first.
                let note = number(&place, 3).map_or((0, 0), |note| (1, -note));
                kept.push((note, number(&row, 0), number(&place, 0), element));
            }
        }
        kept.sort_by_key(|(note, user, place, _)| (*note, *user, *place));
        kept.truncate(2);
        kept.sort_by_key(|(.., place, _)| std::cmp::Reverse(*place));
        let named = Value::array(kept.into_iter().map(|(.., element)| element));
        Ok(object([("id", Value::Int(id)), ("named", named)]))
    }
}

fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::object(members.into_iter().map(|(name, value)| (name.into(), value)))
}

/// An object with one more member.
fn with(object: Value, name: &str, value: Value) -> Value {
    let Value::Object(object) = object else { unreachable!("only objects are given") };
    let members = object.members().map(|(name, value)| (name.clone(), value.clone()));
    Value::object(members.chain([(name.into(), value)]))
}

fn place(row: &Row) -> Value {
    object([("id", row.get(0).clone()), ("rating", row.get(2).clone())])
}

fn user(row: &Row) -> Value {
    object([("id", row.get(0).clone()), ("name", row.get(1).clone())])
}

fn large_user(row: &Row) -> Value {
    with(user(row), "large", row.get(2).clone())
}

fn number(row: &Row, column: usize) -> Option<i64> {
    match row.get(column) {
        Value::Int(value) => Some(*value),
        _ => None,
    }
}

fn text(row: &Row, column: usize) -> Option<&str> {
    match row.get(column) {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn parameter(value: &Option<Value>) -> Option<&str> {
    match value {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

fn limit(value: Option<i64>) -> usize {
    value.map_or(usize::MAX, |limit| limit as usize)
}

/// Falling, nulls first.
fn falling(a: Option<&str>, b: Option<&str>) -> Ordering {
    (a.is_some(), std::cmp::Reverse(a)).cmp(&(b.is_some(), std::cmp::Reverse(b)))
}

/// By name, nulls last, then by id.
fn by_name(a: &Row, b: &Row) -> Ordering {
    let key = |row: &Row| (row.get(1).is_null(), row.get(1).to_json(), number(row, 0));
    key(a).cmp(&key(b))
}

/// By falling rating, nulls first, then by id.
fn by_rating(a: &Row, b: &Row) -> Ordering {
    let key = |row: &Row| (number(row, 2).map_or((0, 0), |rating| (1, -rating)), number(row, 0));
    key(a).cmp(&key(b))
}
