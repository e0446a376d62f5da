// SPDX-License-Identifier: Apache-2.0
//! Status numbers, the error object, and the two macros that every entry point goes through.
//!
//! The numbers are those of `ErrorCode`; the header gets one `KLX_ERR_*` line for each row of that table.

use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::OnceLock;

use kerolox_client::facade::{Error, ErrorCode};

use crate::ptr;

/// What a function returns: KLX_OK or one of KLX_ERR_*.
pub type klx_status_t = i32;

/// It worked.
pub const KLX_OK: klx_status_t = 0;

/// Why a call failed. Free it with klx_error_free.
pub struct klx_error_t {
    code: ErrorCode,
    retryable: bool,
    broker_code: i32,
    message: CString,
    hint: CString,
}

/// What goes wrong on the way from C to the façade.
pub(crate) enum Fail {
    /// The argument of that name is NULL.
    Null(&'static str),
    /// An argument has a value that is not allowed; the sentence says which.
    Argument(String),
    /// The client's own error.
    Client(Error),
}

pub(crate) type Outcome<T> = Result<T, Fail>;

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl Fail {
    fn into_error(self, operation: &'static str) -> Error {
        let invalid = Error::new(ErrorCode::InvalidArgument, operation);
        match self {
            Self::Null(name) => invalid.with_message(format!("{name} must not be NULL")),
            Self::Argument(message) => invalid.with_message(message),
            Self::Client(error) => error,
        }
    }
}

/// The body of a function that returns a status: catches unwinding and hands the error out.
macro_rules! entry {
    ($operation:literal, $err:ident, $body:block) => {{
        // SAFETY: the caller in C keeps the rules at the head of the header: pointers are NULL or live, counts are true.
        unsafe { $crate::error::guard($operation, $err, || $body) }
    }};
}

/// The body of a function that only reads: the fallback is for NULL, an index out of range, and unwinding.
macro_rules! read {
    ($pointer:expr, $fallback:expr, |$item:pat_param| $value:expr) => {{
        // SAFETY: as in `entry!`.
        unsafe { $crate::error::read_from($pointer, $fallback, |$item| $value) }
    }};
}

pub(crate) use {entry, read};

pub(crate) unsafe fn guard(
    operation: &'static str,
    err: *mut *mut klx_error_t,
    body: impl FnOnce() -> Outcome<()>,
) -> klx_status_t {
    // SAFETY: the caller vouches for `err`.
    let err = unsafe { ptr::optional_out(err, null_mut()) };
    let outcome = catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_printed| Err(Error::new(ErrorCode::Panic, operation).into()));
    let Err(fail) = outcome else { return KLX_OK };
    let error = fail.into_error(operation);
    let status = status(error.code());
    if let Some(err) = err {
        err.give(error.into());
    }
    status
}

pub(crate) unsafe fn read_from<T, R>(
    pointer: *const T,
    fallback: R,
    get: impl FnOnce(&T) -> Option<R>,
) -> R {
    // SAFETY: the caller vouches for `pointer`.
    let item = unsafe { ptr::optional(pointer) };
    item.and_then(|item| catch_unwind(AssertUnwindSafe(|| get(item))).unwrap_or(None))
        .unwrap_or(fallback)
}

/// The number that C sees for a code.
pub(crate) fn status(code: ErrorCode) -> klx_status_t {
    klx_status_t::from(code.number())
}

/// Status and error object as callbacks get them.
pub(crate) fn parts(error: Error) -> (klx_status_t, *mut klx_error_t) {
    (status(error.code()), ptr::give(error.into()))
}

fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', "?")).unwrap_or_default()
}

impl From<Error> for klx_error_t {
    fn from(error: Error) -> Self {
        Self {
            code: error.code(),
            retryable: error.is_retryable(),
            broker_code: error.broker_code().unwrap_or(0),
            message: c_text(&error.to_string()),
            hint: c_text(error.hint()),
        }
    }
}

/// The status that came with the error; KLX_OK for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_error_code(err: *const klx_error_t) -> klx_status_t {
    read!(err, KLX_OK, |error| Some(status(error.code)))
}

/// What failed, doing what, to what: one line, ends with NUL. Valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_error_message(err: *const klx_error_t) -> *const c_char {
    read!(err, c"".as_ptr(), |error| Some(error.message.as_ptr()))
}

/// What to do next: one line, ends with NUL. Valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_error_hint(err: *const klx_error_t) -> *const c_char {
    read!(err, c"".as_ptr(), |error| Some(error.hint.as_ptr()))
}

/// Whether repeating the call can help.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_error_retryable(err: *const klx_error_t) -> bool {
    read!(err, false, |error| Some(error.retryable))
}

/// The response code of the server that refused; 0 when none answered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_error_broker_code(err: *const klx_error_t) -> i32 {
    read!(err, 0, |error| Some(error.broker_code))
}

/// Frees an error. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn klx_error_free(err: *mut klx_error_t) {
    // SAFETY: NULL or an error that has not been freed.
    drop(unsafe { ptr::take(err) });
}

/// Name of a status: "OK", "TIMEOUT"; "UNKNOWN" for a number that is none. Static, ends with NUL.
#[unsafe(no_mangle)]
pub extern "C" fn klx_status_name(status: klx_status_t) -> *const c_char {
    static NAMES: OnceLock<Vec<(klx_status_t, CString)>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let row = |info: &kerolox_client::facade::ErrorCodeInfo| {
            (klx_status_t::from(info.number), c_text(info.name))
        };
        let codes = ErrorCode::ALL.iter().map(row);
        std::iter::once((KLX_OK, c"OK".to_owned()))
            .chain(codes)
            .collect()
    });
    let known = names.iter().find(|(number, _)| *number == status);
    known
        .map_or(c"UNKNOWN", |(_, name)| name.as_c_str() as &CStr)
        .as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn fails(err: *mut *mut klx_error_t) -> klx_status_t {
        entry!("fails", err, { Err(Fail::Null("message")) })
    }

    unsafe extern "C" fn panics(err: *mut *mut klx_error_t) -> klx_status_t {
        entry!("panics", err, { panic!("on purpose") })
    }

    fn outcome(
        f: unsafe extern "C" fn(*mut *mut klx_error_t) -> klx_status_t,
    ) -> (klx_status_t, String) {
        let mut err = null_mut();
        // SAFETY: `err` can be written, and what it receives is freed once.
        unsafe {
            let status = f(&raw mut err);
            assert_eq!(klx_error_code(err), status);
            let message = CStr::from_ptr(klx_error_message(err))
                .to_string_lossy()
                .into_owned();
            klx_error_free(err);
            assert_eq!(f(null_mut()), status, "without a place for the error");
            (status, message)
        }
    }

    #[test]
    fn an_error_carries_the_operation_and_the_argument() {
        assert_eq!(
            outcome(fails),
            (1, "fails: message must not be NULL".to_owned())
        );
    }

    #[test]
    fn a_panic_becomes_a_status() {
        let (status, message) = outcome(panics);
        assert_eq!(status, 901);
        assert!(message.starts_with("panics: "), "{message}");
    }

    #[test]
    fn every_status_has_a_name() {
        let name = |status| {
            // SAFETY: status names are static.
            unsafe { CStr::from_ptr(klx_status_name(status)) }
                .to_str()
                .map(str::to_owned)
        };
        assert_eq!(name(KLX_OK).as_deref(), Ok("OK"));
        assert_eq!(name(-5).as_deref(), Ok("UNKNOWN"));
        for info in ErrorCode::ALL {
            assert_eq!(name(i32::from(info.number)).as_deref(), Ok(info.name));
        }
    }
}
