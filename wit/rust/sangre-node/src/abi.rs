//! The interface as WebAssembly has it: what the canonical ABI makes of `node.wit`, for the one function a node exports and the one it
//! imports. By hand, because the generator of bindings is ten times what it would generate here, and each node's first build
//! would compile it.

use crate::answer::Answers;

/// What an exported function answers with: the record `answers`.
#[repr(C)]
pub struct Returned {
    values: *mut u8,
    length: usize,
    failures: *mut Failure,
    failed: usize,
}

/// The record `failure`.
#[repr(C)]
struct Failure {
    row: u32,
    message: *mut u8,
    length: usize,
}

/// Answers the batch of a call from the host.
///
/// # Safety
///
/// `batch` is a text of `length` bytes that the host was given the memory for ([`realloc`]), and that nobody else has.
pub unsafe fn called(batch: *mut u8, length: usize, answer: impl FnOnce(&str) -> Answers) -> *mut Returned {
    // SAFETY: the caller's promise; that it is UTF-8 is the host's.
    let batch = unsafe { String::from_utf8_unchecked(Vec::from_raw_parts(batch, length, length)) };
    let answers = answer(&batch);
    let (values, length) = given(answers.values.into_bytes());
    let failures = answers.failures.into_iter().map(|(row, message)| {
        let (message, length) = given(message.into_bytes());
        Failure { row, message, length }
    });
    let (failures, failed) = given(failures.collect());
    Box::into_raw(Box::new(Returned { values, length, failures, failed }))
}

/// Frees an answer that the host has read.
///
/// # Safety
///
/// `returned` is from [`called`], and nobody uses it after this.
pub unsafe fn forget(returned: *mut Returned) {
    // SAFETY: the caller's promise; all of it was made by `given`.
    unsafe {
        let returned = Box::from_raw(returned);
        drop(taken(returned.values, returned.length));
        for failure in taken(returned.failures, returned.failed) {
            drop(taken(failure.message, failure.length));
        }
    }
}

/// Leaves the list to whoever asked: where it is, and how long. Its capacity is its length.
fn given<T>(list: Vec<T>) -> (*mut T, usize) {
    let list = Box::leak(list.into_boxed_slice());
    (list.as_mut_ptr(), list.len())
}

/// # Safety
///
/// It was made by [`given`], and nobody else has it.
unsafe fn taken<T>(list: *mut T, length: usize) -> Vec<T> {
    // SAFETY: the caller's promise.
    unsafe { Vec::from_raw_parts(list, length, length) }
}

/// `log.fail`: the last words before a trap.
#[cfg(target_arch = "wasm32")]
pub fn last_words(message: &str) {
    #[link(wasm_import_module = "sangre:node/log@0.1.0")]
    unsafe extern "C" {
        #[link_name = "fail"]
        fn fail(message: *const u8, length: usize);
    }
    // SAFETY: the host reads the text before it returns.
    unsafe { fail(message.as_ptr(), message.len()) }
}

/// Where a node is compiled for tests of its own.
#[cfg(not(target_arch = "wasm32"))]
pub fn last_words(message: &str) {
    eprintln!("{message}");
}

/// Gives the host memory to put a text into.
///
/// # Safety
///
/// What the canonical ABI promises: `old` has `had` bytes and was given by this, or `had` is 0.
#[cfg(target_arch = "wasm32")]
#[unsafe(export_name = "cabi_realloc")]
unsafe extern "C" fn realloc(old: *mut u8, had: usize, align: usize, bytes: usize) -> *mut u8 {
    use std::alloc::{Layout, alloc, handle_alloc_error, realloc};
    if bytes == 0 {
        return std::ptr::without_provenance_mut(align);
    }
    let Ok(layout) = Layout::from_size_align(bytes, align) else { std::process::abort() };
    // SAFETY: `bytes` is not 0, and the rest is the caller's promise.
    let given = unsafe {
        match had {
            0 => alloc(layout),
            _ => realloc(old, Layout::from_size_align_unchecked(had, align), bytes),
        }
    };
    if given.is_null() {
        handle_alloc_error(layout);
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_freed() {
        let (batch, length) = given("[é]".to_owned().into_bytes());
        let answers =
            |batch: &str| Answers { values: batch.repeat(2), failures: vec![(7, "oh".into()), (8, String::new())] };
        // SAFETY: as the host does it.
        unsafe {
            let returned = called(batch, length, answers);
            let Returned { values, length, failures, failed } = &*returned;
            assert_eq!(std::slice::from_raw_parts(*values, *length), "[é][é]".as_bytes());
            let failures = std::slice::from_raw_parts(*failures, *failed);
            assert_eq!(
                failures.iter().map(|failure| (failure.row, failure.length)).collect::<Vec<_>>(),
                [(7, 2), (8, 0)]
            );
            forget(returned);
        }
    }
}
