//! Every word that stands as a reason: of a run's end, of a condition, of an event. What a program decides by such a
//! word is decided here, so that a new word finds all of it.
//!
//! On the wire they are texts: a status may be another release's, whose words this one does not know.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::failure::FailureKind;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// One word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            /// Every word.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)+];

            /// The text in resources, events and reports.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$variant => $text,)+
                }
            }
        }
    };
}

reasons! {
    /// Everything was published.
    Succeeded = "Succeeded",
    /// It went well, and no object at all was selected.
    NothingFound = "NothingFound",
    /// The spec cannot be run as it is.
    InvalidSpec = "InvalidSpec",
    /// Source, destination or state changed its identity and nobody accepted that.
    SpecChanged = "SpecChanged",
    /// Another cursor holds this sync, or this cursor is older than what was published.
    Claimed = "Claimed",
    /// The cursor, or a blob that it names, is missing or makes no sense.
    CursorInvalid = "CursorInvalid",
    /// Credentials are missing or not enough.
    Denied = "Denied",
    /// The bucket or a named key is not there.
    NotFound = "NotFound",
    /// The input is bad.
    BadData = "BadData",
    /// Stopped from outside; safe to repeat.
    Interrupted = "Interrupted",
    /// Somebody ended the run.
    Cancelled = "Cancelled",
    /// The run took longer than it may. The Job controller's word, and ours.
    DeadlineExceeded = "DeadlineExceeded",
    /// A worker needed more memory than it has. The kubelet's word, and ours.
    OomKilled = "OOMKilled",
    /// A decision cannot be made visible: uploads and their sources are gone.
    DecisionUnpublishable = "DecisionUnpublishable",
    /// Anything else: the network, the disk.
    Failed = "Failed",
    /// The spec asks for what only the command line has.
    UnsupportedInCluster = "UnsupportedInCluster",
    /// The operator's policy does not let the spec ask for that.
    NotAllowed = "NotAllowed",
    /// An S3Connection that the spec names is not there.
    ConnectionNotFound = "ConnectionNotFound",
    /// A name that the sync needs is somebody else's.
    NameTaken = "NameTaken",
    /// Runs start by themselves.
    Armed = "Armed",
    /// No run starts, because somebody wants it so.
    Suspended = "Suspended",
    /// A run is in progress.
    Running = "Running",
    /// A worker of a run does not start.
    WorkerWaiting = "WorkerWaiting",
    /// The API server does not take what a run needs.
    RunRefused = "RunRefused",
    /// A queue holds the run back.
    Queued = "Queued",
    /// The caps on runs leave no place for it.
    WaitingForCapacity = "WaitingForCapacity",
    /// The run that is asked for waits for others of its sync.
    WaitingForTurn = "WaitingForTurn",
    /// The sync whose run is asked for is not there.
    SyncNotFound = "SyncNotFound",
    /// The sync whose run was asked for was deleted before the run had ended.
    SyncDeleted = "SyncDeleted",
    /// A run starts.
    RunStarted = "RunStarted",
    /// A run went well.
    RunSucceeded = "RunSucceeded",
    /// A run failed.
    RunFailed = "RunFailed",
    /// A slot of the schedule has no run of its own.
    SlotMissed = "SlotMissed",
    /// A worker's pod was ended from outside.
    WorkerKilled = "WorkerKilled",
    /// The sync's namespace cannot be watched.
    NotWatched = "NotWatched",
}

/// What the end of a run says of the spec as it was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The run looked into the buckets, and the spec is not at fault.
    Cleared,
    /// It cannot run as it is, and stands so under Ready until a run gets further.
    Faulty,
    /// The run may not have come so far as to tell.
    Unknown,
}

impl Reason {
    /// What a process ends with that reports this: of a sync that is not Ready, what its run would end with.
    pub const fn failure(self) -> FailureKind {
        match self {
            Reason::InvalidSpec
            | Reason::SpecChanged
            | Reason::UnsupportedInCluster
            | Reason::NotAllowed
            | Reason::ConnectionNotFound => FailureKind::Usage,
            Reason::Denied | Reason::NotFound | Reason::SyncNotFound => FailureKind::Access,
            Reason::BadData => FailureKind::BadData,
            Reason::Interrupted | Reason::Cancelled | Reason::DeadlineExceeded | Reason::SyncDeleted => {
                FailureKind::Interrupted
            }
            Reason::Claimed
            | Reason::CursorInvalid
            | Reason::OomKilled
            | Reason::DecisionUnpublishable
            | Reason::Failed
            | Reason::NameTaken
            | Reason::WorkerWaiting
            | Reason::RunRefused
            // What reports no failure.
            | Reason::Succeeded
            | Reason::NothingFound
            | Reason::Armed
            | Reason::Suspended
            | Reason::Running
            | Reason::Queued
            | Reason::WaitingForCapacity
            | Reason::WaitingForTurn
            | Reason::RunStarted
            | Reason::RunSucceeded
            | Reason::RunFailed
            | Reason::SlotMissed
            | Reason::WorkerKilled
            | Reason::NotWatched => FailureKind::Other,
        }
    }

    /// What a run that ended by this word says of the spec.
    pub const fn verdict(self) -> Verdict {
        match self {
            Reason::InvalidSpec | Reason::SpecChanged | Reason::Claimed | Reason::CursorInvalid => Verdict::Faulty,
            Reason::Failed
            | Reason::OomKilled
            | Reason::Interrupted
            | Reason::Cancelled
            | Reason::DeadlineExceeded
            | Reason::Denied
            | Reason::NotFound => Verdict::Unknown,
            Reason::Succeeded | Reason::NothingFound | Reason::BadData | Reason::DecisionUnpublishable => {
                Verdict::Cleared
            }
            // No run ends by these.
            Reason::UnsupportedInCluster
            | Reason::NotAllowed
            | Reason::ConnectionNotFound
            | Reason::NameTaken
            | Reason::Armed
            | Reason::Suspended
            | Reason::Running
            | Reason::WorkerWaiting
            | Reason::RunRefused
            | Reason::Queued
            | Reason::WaitingForCapacity
            | Reason::WaitingForTurn
            | Reason::SyncNotFound
            | Reason::SyncDeleted
            | Reason::RunStarted
            | Reason::RunSucceeded
            | Reason::RunFailed
            | Reason::SlotMissed
            | Reason::WorkerKilled
            | Reason::NotWatched => Verdict::Cleared,
        }
    }

    /// Whether no run starts under it until somebody changes something.
    pub const fn bars_runs(self) -> bool {
        matches!(
            self,
            Reason::InvalidSpec
                | Reason::UnsupportedInCluster
                | Reason::NotAllowed
                | Reason::ConnectionNotFound
                | Reason::SpecChanged
                | Reason::CursorInvalid
                | Reason::NameTaken
        )
    }

    /// Whether a run that is due has not begun its work.
    pub const fn waits(self) -> bool {
        self.is_stuck() || matches!(self, Reason::Queued | Reason::WaitingForCapacity)
    }

    /// Whether it waits for what may never come unless somebody does something.
    pub const fn is_stuck(self) -> bool {
        matches!(self, Reason::WorkerWaiting | Reason::RunRefused)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Another release's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownReason;

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Reason, UnknownReason> {
        Reason::ALL.iter().copied().find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> String {
        reason.as_str().to_owned()
    }
}

/// A text of the wire beside a word that is meant.
impl PartialEq<Reason> for String {
    fn eq(&self, reason: &Reason) -> bool {
        self == reason.as_str()
    }
}

impl PartialEq<&str> for Reason {
    fn eq(&self, text: &&str) -> bool {
        self.as_str() == *text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resources of earlier releases hold these texts, and people's alerts and scripts.
    #[test]
    fn a_word_is_its_text_and_comes_back() {
        for reason in Reason::ALL {
            let text = reason.to_string();
            assert_eq!(text.parse(), Ok(*reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), text);
            assert!(text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_alphabetic()), "{text}");
        }
        assert_eq!("Perhaps".parse::<Reason>(), Err(UnknownReason));
        assert_eq!(Reason::OomKilled.as_str(), "OOMKilled");
    }

    #[test]
    fn what_follows_from_a_word() {
        let words = |is: fn(Reason) -> bool| -> Vec<&str> {
            Reason::ALL.iter().filter(|reason| is(**reason)).map(|reason| reason.as_str()).collect()
        };
        assert_eq!(words(Reason::waits), ["WorkerWaiting", "RunRefused", "Queued", "WaitingForCapacity"]);
        assert_eq!(words(Reason::is_stuck), ["WorkerWaiting", "RunRefused"]);
        assert_eq!(
            words(Reason::bars_runs),
            [
                "InvalidSpec",
                "SpecChanged",
                "CursorInvalid",
                "UnsupportedInCluster",
                "NotAllowed",
                "ConnectionNotFound",
                "NameTaken"
            ]
        );
        let ends =
            |kind| Reason::ALL.iter().filter(move |reason| reason.failure() == kind).map(|reason| reason.as_str());
        assert_eq!(
            ends(FailureKind::Usage).collect::<Vec<_>>(),
            ["InvalidSpec", "SpecChanged", "UnsupportedInCluster", "NotAllowed", "ConnectionNotFound"]
        );
        assert_eq!(ends(FailureKind::Access).collect::<Vec<_>>(), ["Denied", "NotFound", "SyncNotFound"]);
        assert_eq!(ends(FailureKind::BadData).collect::<Vec<_>>(), ["BadData"]);
        assert_eq!(
            ends(FailureKind::Interrupted).collect::<Vec<_>>(),
            ["Interrupted", "Cancelled", "DeadlineExceeded", "SyncDeleted"]
        );
    }
}
