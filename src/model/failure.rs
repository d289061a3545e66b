//! What a process of ours ends with: the exit codes, each once. Scripts, Jobs and the operator read them.

use super::reason::Reason;

/// What a failure means for whoever called the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FailureKind {
    /// Anything else, our own mistakes among it.
    Other = 1,
    /// Wrong arguments or an invalid spec.
    Usage = 2,
    /// A bucket, key or secret is missing or denied.
    Access = 3,
    /// The input cannot be read as it should.
    BadData = 4,
    /// Stopped on the way; safe to repeat.
    Interrupted = 5,
    /// As [`FailureKind::Other`], of a worker's pod: another pod of the same run would end in the same way, so its Job
    /// is to make none.
    Final = 6,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [FailureKind; 6] = [
        FailureKind::Other,
        FailureKind::Usage,
        FailureKind::Access,
        FailureKind::BadData,
        FailureKind::Interrupted,
        FailureKind::Final,
    ];

    /// What an exit code of this binary means; `None` for one that it does not give.
    pub fn of_exit_code(code: i32) -> Option<FailureKind> {
        Self::ALL.into_iter().find(|kind| i32::from(kind.exit_code()) == code)
    }

    /// The process's exit code.
    pub const fn exit_code(self) -> u8 {
        self as u8
    }

    /// What a run is said to have failed by whose worker ended with this exit code and left no word; `None` where the
    /// code says nothing of the run.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            FailureKind::Usage => Some(Reason::InvalidSpec),
            FailureKind::Access => Some(Reason::Denied),
            FailureKind::BadData => Some(Reason::BadData),
            FailureKind::Other | FailureKind::Interrupted | FailureKind::Final => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_a_contract() {
        let codes = FailureKind::ALL.map(FailureKind::exit_code);
        assert_eq!(codes, [1, 2, 3, 4, 5, 6]);
        for kind in FailureKind::ALL {
            assert_eq!(FailureKind::of_exit_code(i32::from(kind.exit_code())), Some(kind));
            // A worker's code and the word that is made of it mean the same.
            assert!(kind.reason().is_none_or(|reason| reason.failure() == kind), "{kind:?}");
        }
        for code in [0, 7, 137, -1] {
            assert_eq!(FailureKind::of_exit_code(code), None, "{code}");
        }
    }
}
