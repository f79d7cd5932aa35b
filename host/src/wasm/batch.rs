//! Questions to a node, put into batches of one JSON text, and its answers taken apart.
//!
//! Questions with equal args go together, since args stand once for a whole group of rows; so the order in a batch is not
//! that of the questions. A batch that fails as a whole is halved until the bad row is found, and only that row is in
//! error. That costs a few calls for one bad row and a lot for a thousand, so what is computed for nothing is limited. One that only took too long is asked
//! again in batches of the size that it is now known to need.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;

use super::bindings::Answers;
use super::error::{Failure, Fault};
use super::inexact::{self, InexactRows, Values};
use super::instance::Batch;
use super::limits::Stopwatch;
use super::program::{NodeKind, Program};
use crate::data::Value;

/// Rows of one batch at most.
const MAX_ROWS: usize = 10_000;

/// Bytes of a row, as a first guess.
const USUAL_ROW: usize = 128;

/// Bytes of a batch that may be worth asking in passing.
const MOST_IN_PASSING: usize = 64 << 10;

/// How many deadlines may be computed for nothing, beyond what was computed for answers, before rows are given up.
const VAIN_DEADLINES: u32 = 10;

/// One question, as text, and who wants the answer.
pub(super) trait Question: Values {
    /// Appends the args' JSON text.
    fn write_args(&self, numbers: Numbers, out: &mut String);
    /// Appends the input's JSON text.
    fn write_input(&self, numbers: Numbers, out: &mut String);
    /// When it is asked ([`GuestCall::tick`](crate::dataflow::guest::GuestCall)).
    fn tick(&self) -> u64;
    /// Whether both are known to have equal args without writing them.
    fn has_same_args(&self, other: &Self) -> bool;
    /// Takes the answer, or why there is none.
    fn answer(&self, answer: Result<Value, Failure>);
}

/// How a node is given numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// As JSON numbers, with word of those that not every language can hold ([`inexact`]).
    #[default]
    AsNumbers,
    /// Every one as a string of its text, whatever its size or type: what a node sees does not depend on the row.
    AsStrings,
}

impl Numbers {
    pub fn new(as_strings: bool) -> Self {
        if as_strings { Numbers::AsStrings } else { Numbers::AsNumbers }
    }
}

/// In a group's text after its args: the runtime is to tell the log what the function reads of row and args that is not there.
const WATCHED: &str = r#","watch":true"#;

/// Questions of one tick, in groups of equal args.
pub(super) struct Questions<Q> {
    numbers: Numbers,
    questions: Vec<Q>,
    /// The args' text of each group, and after it what of them is inexact, and [`WATCHED`] if that is wanted.
    args: Vec<String>,
    /// Group and question, sorted by group.
    order: Vec<(u32, u32)>,
    is_tried: bool,
    spent: Mutex<Spent>,
}

/// What was computed so far.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    answered: Duration,
    in_vain: Duration,
}

impl<Q: Question> Questions<Q> {
    pub fn new(questions: Vec<Q>, numbers: Numbers) -> Self {
        let mut groups: HashMap<String, u32> = HashMap::new();
        let mut args = Vec::new();
        let mut order: Vec<(u32, u32)> = Vec::with_capacity(questions.len());
        let mut before: Option<(&Q, u32)> = None;
        for (question, index) in questions.iter().zip(0..) {
            let group = match before {
                Some((other, group)) if question.has_same_args(other) => group,
                _ => {
                    let mut text = String::new();
                    question.write_args(numbers, &mut text);
                    *groups.entry(text).or_insert_with_key(|text| {
                        let mut text = text.clone();
                        if numbers == Numbers::AsNumbers {
                            inexact::write_args(question.args(), &mut text);
                        }
                        args.push(text);
                        args.len() as u32 - 1
                    })
                }
            };
            order.push((group, index));
            before = Some((question, group));
        }
        order.sort_unstable();
        Questions { numbers, questions, args, order, is_tried: false, spent: Mutex::default() }
    }

    /// The same, of a new version that is tried on them: what the node prints is marked.
    pub fn tried(self) -> Self {
        Questions { is_tried: true, ..self }
    }

    /// The same, watched ([`Program::can_watch`]): that takes longer, and changes no answer.
    pub fn watched(mut self) -> Self {
        self.args.iter_mut().for_each(|args| args.push_str(WATCHED));
        self
    }

    fn in_its_tick<'a>(&self, program: &Program, text: &'a str) -> Batch<'a> {
        let tick = self.questions.first().and_then(|question| program.clock(question.tick()));
        Batch { text, tick, is_tried: self.is_tried }
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The batch that begins at `from` and has about `bytes`, and where it ends. At least one row.
    pub fn batch(&self, from: usize, bytes: usize) -> (Range<usize>, String) {
        let mut text = String::with_capacity(bytes.min((self.len() - from) * USUAL_ROW) + 256);
        let end = self.write(from..self.len().min(from + MAX_ROWS), bytes, "", &mut text);
        (from..end, text)
    }

    /// The row at `from` alone, watched as all of [`Questions::watched`] are.
    pub fn watched_row(&self, from: usize) -> (Range<usize>, String) {
        let mut text = String::new();
        self.write(from..from + 1, usize::MAX, WATCHED, &mut text);
        (from..from + 1, text)
    }

    /// A batch of the beginning of `range`, with `mark` after each group's args; where it ends.
    fn write(&self, range: Range<usize>, bytes: usize, mark: &str, out: &mut String) -> usize {
        out.push('[');
        let mut open = None;
        let mut inexact = InexactRows::default();
        let mut end = range.start;
        for &(group, question) in &self.order[range] {
            if out.len() + inexact.len() >= bytes && open.is_some() {
                break;
            }
            match open {
                Some(open) if open == group => out.push(','),
                _ => {
                    if open.is_some() {
                        inexact.end_group(out);
                        out.push(',');
                    }
                    out.push_str("{\"args\":");
                    out.push_str(&self.args[group as usize]);
                    out.push_str(mark);
                    out.push_str(",\"rows\":[");
                    open = Some(group);
                }
            }
            let question = &self.questions[question as usize];
            question.write_input(self.numbers, out);
            if self.numbers == Numbers::AsNumbers {
                inexact.note(question.input());
            }
            end += 1;
        }
        if open.is_some() {
            inexact.end_group(out);
        }
        out.push(']');
        end
    }

    /// Asks the questions in `range`, whose text is `text`, and answers each. The error says why so many failed that
    /// the rest is not worth asking.
    pub fn ask(&self, program: &Program, range: Range<usize>, text: &str) -> Result<(), Failure> {
        let since = Stopwatch::start();
        let batch = self.in_its_tick(program, text);
        let (kind, depth) = (program.kind(), program.limits().levels());
        let fault = match program.evaluate(batch).and_then(|answers| self.take(kind, depth, &range, &answers)) {
            Ok(()) => {
                self.spent().answered += since.spent();
                return Ok(());
            }
            Err(fault) => fault,
        };
        let is_worth_it = {
            let mut spent = self.spent();
            spent.in_vain += since.spent();
            spent.in_vain <= spent.answered + program.limits().deadline * VAIN_DEADLINES
        };
        if range.len() <= 1 {
            self.fail(range, &Failure::from(&fault));
        } else if is_worth_it {
            return self.search(program, range, &fault);
        } else {
            self.fail(range, &given_up(&fault));
        }
        if is_worth_it { Ok(()) } else { Err(given_up(&fault)) }
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers each question if that is a matter of microseconds ([`Program::evaluate_in_passing`]); false if it may not be,
    /// and if anything is wrong with the answers.
    pub fn ask_in_passing(&self, program: &Program) -> bool {
        let (range, text) = self.batch(0, MOST_IN_PASSING);
        range.len() == self.len()
            && program
                .evaluate_in_passing(self.in_its_tick(program, &text))
                .is_some_and(|answers| self.take(program.kind(), program.limits().levels(), &range, &answers).is_ok())
    }

    /// Asks the questions in `range` in smaller batches, after `fault` was all that came of them together.
    fn search(&self, program: &Program, range: Range<usize>, fault: &Fault) -> Result<(), Failure> {
        let bytes = match fault {
            Fault::Deadline { .. } => program.batch_bytes(),
            _ => usize::MAX,
        };
        let mut next = range.start;
        for half in halves(&range) {
            while next < half.end {
                let mut text = String::new();
                let end = self.write(next..half.end, bytes, "", &mut text);
                self.ask(program, next..end, &text).inspect_err(|failure| self.fail(end..range.end, failure))?;
                next = end;
            }
        }
        Ok(())
    }

    /// Gives every question of `range` its answer, or none of them if the answers as a whole are wrong.
    fn take(&self, kind: NodeKind, depth: usize, range: &Range<usize>, answers: &Answers) -> Result<(), Fault> {
        // Nearly always they can be read in one go, the array as the first level.
        match Value::parse_json_array(&answers.values, depth + 1) {
            Ok(values) => self.give(kind, range, answers, values.into_iter().map(Ok)),
            Err(_) => {
                let texts = split(&answers.values, depth)?;
                let read = |text: &RawValue| {
                    Value::parse_json(text.get()).map_err(|error| Failure::lasting(error.to_string()))
                };
                self.give(kind, range, answers, texts.into_iter().map(read))
            }
        }
    }

    fn give(
        &self,
        kind: NodeKind,
        range: &Range<usize>,
        answers: &Answers,
        values: impl ExactSizeIterator<Item = Result<Value, Failure>>,
    ) -> Result<(), Fault> {
        if values.len() != range.len() {
            return Err(Fault::Count { answers: values.len(), rows: range.len() });
        }
        let mut failures: HashMap<usize, &str> = HashMap::new();
        for (row, message) in &answers.failures {
            if *row >= range.len() {
                // Whichever it meant, its answer is not to be believed.
                return Err(Fault::NoSuchRow { row: *row, rows: range.len() });
            }
            failures.entry(*row).or_insert(message);
        }
        for (row, (value, (_, question))) in values.zip(&self.order[range.clone()]).enumerate() {
            let answer = match failures.get(&row) {
                Some(message) => Err(Failure::lasting(*message)),
                None => value.and_then(|value| checked(kind, value).map_err(Failure::lasting)),
            };
            self.questions[*question as usize].answer(answer);
        }
        Ok(())
    }

    /// Answers every question in `range` with an error.
    pub fn fail(&self, range: Range<usize>, failure: &Failure) {
        for (_, question) in &self.order[range] {
            self.questions[*question as usize].answer(Err(failure.clone()));
        }
    }
}

fn given_up(fault: &Fault) -> Failure {
    Failure::passing(format!("not evaluated, since too many other rows failed: {fault}"))
}

fn halves(range: &Range<usize>) -> [Range<usize>; 2] {
    let middle = range.start + range.len() / 2;
    [range.start..middle, middle..range.end]
}

/// A filter's answer has to be true or false, whatever language it comes from.
fn checked(kind: NodeKind, value: Value) -> Result<Value, String> {
    match (kind, value) {
        (NodeKind::Map | NodeKind::Reduce, value) | (NodeKind::Filter, value @ Value::Bool(_)) => Ok(value),
        (NodeKind::Filter, Value::Null) => Err("keep answered null: missing return?".into()),
        (NodeKind::Filter, other) => {
            let text = other.to_json();
            let shown = &text[..text.floor_char_boundary(40)];
            Err(format!("keep answered {shown}: it has to be true or false"))
        }
    }
}

/// The text of each answer, where something is wrong with one of them, or with all.
fn split(text: &str, limit: usize) -> Result<Vec<&RawValue>, Fault> {
    check_depth(text, limit)?;
    serde_json::from_str(text).map_err(|error| Fault::NotJson(error.to_string()))
}

/// Finds nesting that a recursive reader might not stand, before one reads it.
fn check_depth(text: &str, limit: usize) -> Result<(), Fault> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                // The array of answers is a level of its own.
                if depth > limit + 1 {
                    return Err(Fault::TooDeep { limit });
                }
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Args and input, and their texts.
    struct Asked([Value; 2], [&'static str; 2]);

    fn asked(args: &'static str, input: &'static str) -> Asked {
        Asked([args, input].map(|text| Value::parse_json(text).expect("JSON")), [args, input])
    }

    impl Values for Asked {
        fn args(&self) -> &Value {
            &self.0[0]
        }
        fn input(&self) -> &Value {
            &self.0[1]
        }
    }

    impl Question for Asked {
        fn write_args(&self, _: Numbers, out: &mut String) {
            out.push_str(self.1[0]);
        }
        fn write_input(&self, _: Numbers, out: &mut String) {
            out.push_str(self.1[1]);
        }
        fn tick(&self) -> u64 {
            0
        }
        fn has_same_args(&self, other: &Self) -> bool {
            std::ptr::eq(self.1[0], other.1[0])
        }
        fn answer(&self, _: Result<Value, Failure>) {}
    }

    #[test]
    fn equal_args_go_together() {
        let asked = vec![asked("{\"a\":1}", "1"), asked("{}", "2"), asked("{\"a\":1}", "3"), asked("{}", "4")];
        let questions = Questions::new(asked, Numbers::AsNumbers);
        let (range, text) = questions.batch(0, usize::MAX);
        assert_eq!(range, 0..4);
        assert_eq!(text, r#"[{"args":{"a":1},"rows":[1,3]},{"args":{},"rows":[2,4]}]"#);
        let (_, text) = questions.watched().batch(0, usize::MAX);
        assert_eq!(text, r#"[{"args":{"a":1},"watch":true,"rows":[1,3]},{"args":{},"watch":true,"rows":[2,4]}]"#);
    }

    #[test]
    fn numbers_beyond_floats_are_told_with_the_way_to_them() {
        let questions = |numbers| {
            let all = vec![
                asked(r#"{"a":[9007199254740993]}"#, r#"{"id":1}"#),
                asked(r#"{"a":[9007199254740993]}"#, r#"{"id":9007199254740993,"b":[{"c":1e400}]}"#),
                asked("{}", "1"),
                asked("{}", "0.1234567890123456789"),
            ];
            Questions::new(all, numbers).batch(0, usize::MAX).1
        };
        let told = r#"[{"args":{"a":[9007199254740993]},"inexact_args":[[["a",0],"9007199254740993"]],"rows":[{"id":1},{"id":9007199254740993,"b":[{"c":1e400}]}],"inexact":[[[1,"id"],"9007199254740993"],[[1,"b",0,"c"],"1e400"]]},{"args":{},"rows":[1,0.1234567890123456789],"inexact":[[[1],"0.1234567890123456789"]]}]"#;
        assert_eq!(questions(Numbers::AsNumbers), told);
        assert!(!questions(Numbers::AsStrings).contains("inexact"));
    }

    #[test]
    fn batches_have_about_the_bytes_wanted() {
        let questions = Questions::new((0..10).map(|_| asked("{}", "\"12345678\"")).collect(), Numbers::AsNumbers);
        let (first, text) = questions.batch(0, 40);
        assert_eq!((first.clone(), text.len()), (0..2, 44));
        let (second, _) = questions.batch(first.end, 1);
        assert_eq!(second, 2..3, "never none");
    }

    #[test]
    fn nesting_is_counted_outside_of_texts() {
        let deep = |levels: usize| format!("[{}1{}]", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check_depth(&deep(7), 7), Ok(()));
        assert_eq!(check_depth(&deep(8), 7), Err(Fault::TooDeep { limit: 7 }));
        assert_eq!(check_depth(&format!("[\"\\\"{}\"]", "[".repeat(500)), 7), Ok(()));
    }

    #[test]
    fn a_filter_says_true_or_false() {
        assert_eq!(checked(NodeKind::Filter, true.into()), Ok(true.into()));
        assert!(checked(NodeKind::Filter, Value::Null).is_err_and(|message| message.contains("missing return")));
        assert!(checked(NodeKind::Filter, 1.into()).is_err_and(|message| message.contains("answered 1:")));
        assert_eq!(checked(NodeKind::Map, Value::Null), Ok(Value::Null));
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_the_error_of_its_row_alone() {
        #[derive(Default)]
        struct Kept(std::cell::RefCell<Option<Result<Value, Failure>>>);
        impl Values for Kept {
            fn args(&self) -> &Value {
                &Value::Null
            }
            fn input(&self) -> &Value {
                &Value::Null
            }
        }
        impl Question for Kept {
            fn write_args(&self, _: Numbers, _: &mut String) {}
            fn write_input(&self, _: Numbers, _: &mut String) {}
            fn tick(&self) -> u64 {
                0
            }
            fn has_same_args(&self, _: &Self) -> bool {
                true
            }
            fn answer(&self, answer: Result<Value, Failure>) {
                self.0.replace(Some(answer));
            }
        }
        let take = |values: &str| {
            let questions = Questions::new(vec![Kept::default(), Kept::default()], Numbers::default());
            let answers = Answers { values: values.into(), failures: vec![(1, "so it says".into())] };
            let taken = questions.take(NodeKind::Map, 100, &(0..2), &answers);
            let kept: Vec<_> = questions.questions.into_iter().map(|kept| kept.0.into_inner()).collect();
            (taken, kept)
        };
        let (taken, kept) = take("[7,null]");
        assert_eq!((taken, &kept[0]), (Ok(()), &Some(Ok(7.into()))));
        assert!(matches!(&kept[1], Some(Err(failure)) if failure.message == "so it says"), "{kept:?}");
        // Half a pair is JSON to some, and no text.
        let (taken, kept) = take(r#"["\ud800",8]"#);
        assert_eq!(taken, Ok(()));
        assert!(matches!(&kept[0], Some(Err(failure)) if failure.message.contains("not valid JSON")), "{kept:?}");
        for wrong in ["[1]", "[1,2,3]", "{}", "[1,2] 3", "", &format!("[1,{}2{}]", "[".repeat(101), "]".repeat(101))] {
            let (taken, kept) = take(wrong);
            assert!(taken.is_err() && kept == [None, None], "{wrong}: {taken:?} {kept:?}");
        }
    }
}
