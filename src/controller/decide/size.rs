//! Whether a spec is too large to be run, or kept in memory. PURE.

use std::io;

use serde_json::Value;

use crate::api::S3Sync;
use crate::api::error::FieldError;
use crate::api::spec::S3SyncSpec;
use crate::controller::names::OVERSIZED;

/// What one environment variable may hold. Linux refuses an argument or variable of 128 KiB (MAX_ARG_STRLEN,
/// execve(2)).
pub(in crate::controller) const MANIFEST_BYTES_MAX: usize = 100_000;

/// What `spec.worker` may hold of names, numbers and texts. Its lists have hundreds at most, but for those of
/// `affinity`, which Kubernetes does not bound: `""` is three bytes as JSON, and twenty-four in memory.
const WORKER_VALUES_MAX: usize = 2000;

/// Why the spec of a resource was not kept, where it was not.
pub fn oversized(sync: &S3Sync) -> Option<String> {
    sync.metadata.annotations.as_ref()?.get(OVERSIZED).cloned()
}

/// What is wrong with a spec of so many bytes.
pub(in crate::controller) fn too_long(bytes: usize) -> FieldError {
    FieldError::new("spec", format!("has {bytes} bytes as JSON, and workers take {MANIFEST_BYTES_MAX}"))
        .suggest("shorten its lists, with globs instead of keys for example")
}

/// What makes a spec too large to be run, or kept.
pub(in crate::controller) fn too_large(spec: &S3SyncSpec) -> Option<FieldError> {
    let bytes = json_bytes(spec);
    if bytes > MANIFEST_BYTES_MAX {
        return Some(too_long(bytes));
    }
    // A value is a byte at least, and a comma.
    if bytes < 2 * WORKER_VALUES_MAX {
        return None;
    }
    let values = values(&serde_json::to_value(&spec.worker).unwrap_or_default());
    (values > WORKER_VALUES_MAX).then(|| {
        FieldError::new("spec.worker", format!("holds {values} values, and {WORKER_VALUES_MAX} are the most"))
            .suggest("shorten affinity and its like")
    })
}

/// How long a value is as JSON.
pub(in crate::controller) fn json_bytes(value: &impl serde::Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).map_or(usize::MAX, |()| count.0)
}

fn values(json: &Value) -> usize {
    1 + match json {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Object(fields) => fields.values().map(values).sum(),
        _ => 0,
    }
}
