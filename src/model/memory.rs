//! How much memory a worker takes, by what its container may use. PURE.

/// One mebibyte.
const MIB: u64 = 1 << 20;

/// The smallest budget that a run accepts, and the smallest limit that one works under, since what is not budgeted fits
/// beside what is not used of it. Below it, the open row group, two parts and one read window do not fit together.
pub const BUDGET_BYTES_MIN: u64 = 128 * MIB;

/// The largest budget that nobody asked for: more memory buys no speed.
const DEFAULT_BYTES_MAX: u64 = 256 * MIB;

/// The budget of a process that may use so many bytes, where nobody says another.
pub fn default_budget(limit: u64) -> u64 {
    (limit / 2).clamp(BUDGET_BYTES_MIN, DEFAULT_BYTES_MAX)
}

/// What a limit is to be raised to after it was not enough: twice as much, and at least what gives the largest default
/// budget.
pub fn raised(limit: u64) -> u64 {
    limit.saturating_mul(2).max(2 * DEFAULT_BYTES_MAX)
}

/// Bytes as a quantity of Kubernetes, such as `256Mi`, rounded up.
pub fn mebibytes(bytes: u64) -> String {
    format!("{}Mi", bytes.div_ceil(MIB))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_half_of_what_there_is_within_bounds() {
        for (limit, budget, higher) in
            [(64, 128, 512), (128, 128, 512), (256, 128, 512), (384, 192, 768), (512, 256, 1024), (4096, 256, 8192)]
        {
            assert_eq!((default_budget(limit * MIB), raised(limit * MIB)), (budget * MIB, higher * MIB), "{limit}");
            assert!(
                default_budget(raised(limit * MIB)) == DEFAULT_BYTES_MAX || limit == 384,
                "what is advised gives the largest budget"
            );
        }
        assert_eq!((mebibytes(1), mebibytes(64 * MIB)), ("1Mi".into(), "64Mi".into()));
    }
}
