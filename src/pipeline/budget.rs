//! How the memory budget is shared out: fixed shares from one number, so that no queue can grow into another's memory
//! and nothing can wait for itself.

pub use crate::model::memory::BUDGET_BYTES_MIN as MEMORY_BYTES_MIN;
use crate::model::memory::default_budget;

/// One mebibyte.
const MIB: u64 = 1 << 20;

/// What the process holds before it reads a byte: code, runtime, TLS, allocator slack. Measured, rounded up.
const BASE_BYTES: u64 = 40 * MIB;

/// The shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The whole.
    pub memory_bytes: u64,
    /// Output bytes between layout and server (queue, parts being filled, requests under way).
    pub upload_bytes: u64,
    /// Objects being read: fetched, decompressed, decoded, waiting for their turn. Objects take their share of it in
    /// plan order.
    pub read_bytes: u64,
    /// Objects read at once at the most.
    pub objects_max: usize,
    /// Largest record, in bytes of decoded text.
    pub record_bytes_max: u64,
    /// Largest zstd window.
    pub zstd_window_max: u64,
    /// Blocks of one object decoded side by side.
    pub blocks_at_once: usize,
}

impl Budget {
    /// Shares `memory_bytes` (at least [`MEMORY_BYTES_MIN`]) between a run's parts on `cores` cores. `concurrency` is
    /// `spec.worker.concurrency`; `workers` run side by side in this process.
    pub fn new(memory_bytes: u64, cores: usize, concurrency: Option<u32>, layout_bytes: u64, workers: u32) -> Self {
        let each = memory_bytes / u64::from(workers.max(1));
        // A layout holds what it buffers; the chunk of a column that leaves it while a row group closes is in the
        // base's slack.
        let free = each.saturating_sub(BASE_BYTES / u64::from(workers.max(1)) + layout_bytes).max(24 * MIB);
        let upload_bytes = (free / 4).clamp(16 * MIB, 128 * MIB);
        let read_bytes = free.saturating_sub(upload_bytes).max(16 * MIB);
        let objects_max = match concurrency {
            Some(u32::MAX) => usize::MAX >> 4,
            Some(n) => n as usize,
            // Small objects are all waiting: 16 a core hide a round trip of 20 ms behind 1 ms of work.
            None => 16 * cores,
        };
        Self {
            memory_bytes,
            upload_bytes,
            read_bytes,
            objects_max: objects_max.max(1),
            record_bytes_max: (memory_bytes / 8).min(1 << 30),
            zstd_window_max: memory_bytes / 4,
            blocks_at_once: cores + 1,
        }
    }
}

/// The default budget: half of what the process may use (its cgroup's limit, else the machine's memory), between the
/// least that works and 256 MiB, above which more memory buys no speed.
pub fn default_memory_bytes() -> u64 {
    default_budget(cgroup_limit().or_else(machine_memory).unwrap_or(512 * MIB))
}

/// What this process's cgroup may use, where it has a limit: more than that is killed.
pub fn cgroup_limit() -> Option<u64> {
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok())
}

fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_least_budget_fit_into_it() {
        for memory in [MEMORY_BYTES_MIN, 192 * MIB, 256 * MIB, 1024 * MIB] {
            let budget = Budget::new(memory, 2, None, 64 * MIB, 1);
            assert!(
                BASE_BYTES + 64 * MIB + budget.upload_bytes + budget.read_bytes <= memory + 16 * MIB,
                "{memory}: {budget:?}"
            );
        }
    }
}
