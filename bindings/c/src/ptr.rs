// SPDX-License-Identifier: Apache-2.0
//! Every use of a foreign pointer: borrow, hand over, take back, write out.
//!
//! The callers are the entry points, and what each of these functions asks for is what the header asks of C: a pointer
//! is NULL or came from this library and has not been freed; an array has as many items as the count says; a place for
//! a result can be written. No other file of the crate follows a raw pointer.

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

use crate::error::{Fail, Outcome};

/// What the application gave us to hand back to its callback.
pub(crate) struct UserData(pub(crate) *mut c_void);

// SAFETY: the library only carries the pointer and never follows it; the header says that callbacks run on other
// threads, so the application has made sure that it may be used there.
unsafe impl Send for UserData {}

/// Moves `value` to the heap and gives it to C.
pub(crate) fn give<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Takes back what [`give`] gave; `None` for NULL.
pub(crate) unsafe fn take<T>(pointer: *mut T) -> Option<Box<T>> {
    // SAFETY: not NULL, so it came from `give`, and the caller passes each pointer here once.
    (!pointer.is_null()).then(|| unsafe { Box::from_raw(pointer) })
}

/// Borrows what a pointer points to, if it is not NULL.
pub(crate) unsafe fn optional<'a, T>(pointer: *const T) -> Option<&'a T> {
    // SAFETY: NULL or a live value, see the head of this file.
    unsafe { pointer.as_ref() }
}

/// Borrows what a pointer points to; NULL is an error that names the argument.
pub(crate) unsafe fn required<'a, T>(pointer: *const T, name: &'static str) -> Outcome<&'a T> {
    // SAFETY: NULL or a live value, see the head of this file.
    unsafe { pointer.as_ref() }.ok_or(Fail::Null(name))
}

/// Borrows a value that only the caller uses, for writing; NULL is an error that names the argument.
pub(crate) unsafe fn exclusive<'a, T>(pointer: *mut T, name: &'static str) -> Outcome<&'a mut T> {
    // SAFETY: NULL or a live value; the header forbids concurrent use of what has setters.
    unsafe { pointer.as_mut() }.ok_or(Fail::Null(name))
}

/// Borrows an array. NULL is allowed when it has no items.
pub(crate) unsafe fn array<'a, T>(
    items: *const T,
    count: usize,
    name: &'static str,
) -> Outcome<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if items.is_null() {
        return Err(Fail::Null(name));
    }
    if count > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Fail::Argument(format!(
            "{name}: {count} items are more than memory holds"
        )));
    }
    // SAFETY: not NULL, and the caller vouches for the count, which does not overflow.
    Ok(unsafe { std::slice::from_raw_parts(items, count) })
}

/// A place that C gave for a result.
pub(crate) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// Writes the result.
    pub(crate) fn set(self, value: T) {
        // SAFETY: made by `out` or `optional_out` in the same entry point, from a place that can be written.
        unsafe { self.0.write(value) }
    }
}

impl<T> Out<*mut T> {
    /// Hands an object over through it.
    pub(crate) fn give(self, value: T) {
        self.set(give(value));
    }
}

/// The place for a result, filled with `empty` until there is one; NULL is an error that names the argument.
pub(crate) unsafe fn out<T>(place: *mut T, empty: T, name: &'static str) -> Outcome<Out<T>> {
    // SAFETY: passed on.
    unsafe { optional_out(place, empty) }.ok_or(Fail::Null(name))
}

/// The place for a result that the caller may not want.
pub(crate) unsafe fn optional_out<T>(place: *mut T, empty: T) -> Option<Out<T>> {
    let place = NonNull::new(place)?;
    // SAFETY: not NULL, so it can be written; it may be uninitialised, and `write` does not read.
    unsafe { place.write(empty) };
    Some(Out(place))
}

/// The place for an object, NULL until there is one.
pub(crate) unsafe fn out_object<T>(place: *mut *mut T, name: &'static str) -> Outcome<Out<*mut T>> {
    // SAFETY: passed on.
    unsafe { out(place, null_mut(), name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_can_be_borrowed_and_taken_back_once() {
        let pointer = give(vec![1, 2, 3]);
        // SAFETY: `pointer` is live until it is taken.
        unsafe {
            assert_eq!(required(pointer, "v").map(Vec::len).ok(), Some(3));
            exclusive(pointer, "v").ok().expect("live").push(4);
            assert_eq!(take(pointer).map(|taken| *taken), Some(vec![1, 2, 3, 4]));
            assert!(take::<u8>(null_mut()).is_none());
        }
    }

    #[test]
    fn null_is_an_error_that_names_the_argument() {
        // SAFETY: NULL is allowed everywhere here.
        unsafe {
            assert!(matches!(
                required::<u8>(std::ptr::null(), "x"),
                Err(Fail::Null("x"))
            ));
            assert!(matches!(
                array::<u8>(std::ptr::null(), 2, "x"),
                Err(Fail::Null("x"))
            ));
            assert!(array::<u8>(std::ptr::null(), 0, "x").is_ok_and(<[u8]>::is_empty));
            assert!(matches!(
                out::<i64>(null_mut(), 0, "x"),
                Err(Fail::Null("x"))
            ));
            assert!(optional_out::<i64>(null_mut(), 0).is_none());
        }
    }

    #[test]
    fn a_result_place_is_emptied_before_it_is_filled() {
        let mut place = 7_i64;
        // SAFETY: `place` is live and can be written.
        let place_out = unsafe { optional_out(&raw mut place, -1) }.expect("not NULL");
        // SAFETY: as above; read through the pointer because `place_out` may still write.
        assert_eq!(unsafe { (&raw const place).read() }, -1);
        place_out.set(9);
        assert_eq!(place, 9);
    }

    #[test]
    fn a_count_that_can_not_be_is_refused() {
        let item = 1_u64;
        // SAFETY: the array is refused before it is looked at.
        let refused = unsafe { array(&raw const item, usize::MAX, "items") };
        assert!(matches!(refused, Err(Fail::Argument(_))));
    }
}
