//! Panics of a format library on corrupt input, turned into errors: the last resort, after every check of ours.
//!
//! Release builds unwind on panic (`profile.release.panic`), so this works in them too. The process's panic hook asks
//! [`catching`] first, so that a panic which ends here neither ends the process nor is reported as a bug of ours.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::DecodeError;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread would be caught by the codec: it then means corrupt input.
pub fn catching() -> bool {
    CATCHING.get()
}

/// Resets the flag also when the work unwinds.
struct Catching {
    before: bool,
}

impl Drop for Catching {
    fn drop(&mut self) {
        CATCHING.set(self.before);
    }
}

/// Runs `work` on bytes that may be corrupt.
///
/// Whatever `work` changes is not to be used again after an error: that is what makes it unwind safe.
///
/// # Errors
/// [`DecodeError::Bad`] when `work` panics.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    let flag = Catching { before: CATCHING.replace(true) };
    let result = catch_unwind(AssertUnwindSafe(work));
    drop(flag);
    result.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no more is known");
        Err(DecodeError::Bad { reason: format!("its bytes contradict each other ({text})"), position: None })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_the_flag_is_down_again() {
        let error = caught(|| -> Result<(), DecodeError> {
            assert!(catching());
            let empty: &[u8] = &[];
            panic!("index {} out of range", empty.len());
        });
        assert!(matches!(error, Err(DecodeError::Bad { reason, .. }) if reason.contains("index 0 out of range")));
        assert!(!catching());
        assert!(matches!(caught(|| Ok(7)), Ok(7)));
    }
}
