//! What a write mode decides. Every question that the mode answers is one method here, and nothing else asks which mode
//! it is: a new mode compiles once each question has its answer.
//!
//! | question | Append | Replace |
//! | --- | --- | --- |
//! | [`reads_everything`](WriteMode::reads_everything) | no: what is new | yes, or nothing where all stands as it was |
//! | [`takes_window`](WriteMode::takes_window) | yes | no: what lies outside would be dropped |
//! | [`ledger`](WriteMode::ledger) | the sync's, or the run's | none: each epoch begins anew |
//! | [`on_empty`](WriteMode::on_empty) | nothing is to be done | refused, unless `allowEmpty` |
//! | [`supersedes`](WriteMode::supersedes) | nothing | everything before it, which becomes garbage |
//! | [`keeps_published`](WriteMode::keeps_published) | yes: rows and types of before stay | no |
//! | [`keys`](WriteMode::keys) | each written once, create-only | a run may overwrite those of before |

use serde::{Deserialize, Serialize};

/// `spec.destination.writeMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteMode {
    /// New objects become new files.
    Append,
    /// Every run publishes a whole new generation.
    Replace,
}

impl WriteMode {
    /// Whether an epoch reads all that the spec selects: then it is one epoch a run, whatever `limits` say, and none
    /// where listing, spec and published files are as they were. Otherwise it reads what the ledger does not know.
    pub fn reads_everything(self) -> bool {
        match self {
            WriteMode::Append => false,
            WriteMode::Replace => true,
        }
    }

    /// Whether a run may be asked for a part of what the spec selects.
    pub fn takes_window(self) -> bool {
        match self {
            WriteMode::Append => true,
            WriteMode::Replace => false,
        }
    }

    /// How long what was accounted for counts. `incremental`: whether the spec keeps a ledger beyond a run.
    pub fn ledger(self, incremental: bool) -> LedgerLife {
        match self {
            WriteMode::Append if incremental => LedgerLife::Sync,
            WriteMode::Append => LedgerLife::Run,
            WriteMode::Replace => LedgerLife::Epoch,
        }
    }

    /// What it means that an epoch has nothing to write: no object, or no row in any. `allow_empty`: whether the spec
    /// allows a destination without files.
    pub fn on_empty(self, allow_empty: bool) -> OnEmpty {
        match self {
            WriteMode::Append => OnEmpty::Leave,
            WriteMode::Replace if allow_empty => OnEmpty::Publish,
            WriteMode::Replace => OnEmpty::Refuse,
        }
    }

    /// What of the files that earlier epochs published an epoch takes the place of. That is its garbage, and no part of
    /// the snapshot any more.
    pub fn supersedes(self) -> Superseded {
        match self {
            WriteMode::Append => Superseded::Nothing,
            WriteMode::Replace => Superseded::Everything,
        }
    }

    /// Whether a reader may find files of earlier epochs beside those of a new one: their columns keep their types,
    /// their layout stays, their rows stand beside rows that are read again, and files under an earlier path stay.
    pub fn keeps_published(self) -> bool {
        match self.supersedes() {
            Superseded::Nothing => true,
            Superseded::Everything => false,
        }
    }

    /// How often a key is written: how files become visible, and which paths are allowed.
    pub fn keys(self) -> OutputKeys {
        match self {
            WriteMode::Append => OutputKeys::Once,
            WriteMode::Replace => OutputKeys::Again,
        }
    }
}

/// How long an entry of the ledger keeps its object from being read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerLife {
    /// As long as the sync.
    Sync,
    /// As long as the run that read it, so that a restart inside of it repeats nothing.
    Run,
    /// No longer than its epoch.
    Epoch,
}

/// What an epoch without rows does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEmpty {
    /// It is left out: what is published stays.
    Leave,
    /// It fails, because what is published would be gone.
    Refuse,
    /// It is published, and leaves an empty destination.
    Publish,
}

/// What an epoch takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Superseded {
    /// Its files stand beside those of before.
    Nothing,
    /// All that the sync published before.
    Everything,
}

/// How often a key of the destination is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKeys {
    /// Once, ever: completion creates and never overwrites, what else stands there stops the run, and the path needs a
    /// unique placeholder.
    Once,
    /// Again by a later run: completion overwrites. Where a path gives every run the same keys, they are claimed, so
    /// that no other sync writes them.
    Again,
}
