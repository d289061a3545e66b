//! Texts of bounded length: the API server refuses longer ones. PURE.

pub use crate::model::shown::cut;
use crate::model::shown::{Secrets, shown};

/// What a message of a run's report, of a status, condition or event keeps, in bytes: the bound of an event's note, the
/// shortest of them.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// A message for a report, a status, a condition or an event. What is in it may have been said by a server, a webhook
/// or a kubelet.
pub fn message(text: &str) -> String {
    shown(text, &Secrets::new(), MESSAGE_BYTES_MAX)
}
