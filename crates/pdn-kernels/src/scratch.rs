//! Scratch memory for intermediate results, which each thread keeps.

use crate::Aligned;
use std::cell::RefCell;

/// Calls `run` with memory for `len` numbers, which each thread keeps: fresh pages would cost half as much as the work.
pub(crate) fn with_scratch(len: usize, run: impl FnOnce(&mut [f32])) {
    thread_local! {
        static SCRATCH: RefCell<Option<Aligned<f32>>> = const { RefCell::new(None) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let kept = scratch.take().filter(|scratch| scratch.len() >= len);
        run(&mut scratch.insert(kept.unwrap_or_else(|| Aligned::new(0.0, len)))[..len]);
    });
}

/// Splits off the next `len` numbers of `scratch`.
pub(crate) fn cut<'a>(scratch: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (part, rest) = std::mem::take(scratch).split_at_mut(len);
    *scratch = rest;
    part
}
