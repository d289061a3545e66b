//! One object (or slice) read and decoded: what comes out are decoded blocks in the object's order.

mod object;
mod part;
mod windows;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::mpsc;

use self::part::PARTS_FETCH_BYTES;
use crate::codec::{DecodeError, Decoded, Position};
use crate::model::format::InputFormat;
use crate::model::plan::PlannedObject;
use crate::model::schema::TableSchema;
use crate::model::settings::{OnBadObject, Settings};
use crate::model::shard::format_of;
use crate::pipeline::budget::Budget;
use crate::pipeline::cpu::CpuPool;
use crate::pipeline::fetch::FETCH_BYTES;
use crate::store::{ErrorKind, Store, StoreError};

/// Objects up to this size are decoded whole before a row of theirs enters a file, so that a bad one costs nothing but
/// itself.
pub const WHOLE_OBJECT_BYTES_MAX: u64 = 8 << 20;

/// Decoded blocks of a streaming object that wait for their turn.
const BLOCKS_WAITING: usize = 2;

/// What every read of an attempt shares.
#[derive(Clone)]
pub struct Reader {
    /// Where the objects are.
    pub source: Arc<dyn Store>,
    /// The plan's settings.
    pub settings: Arc<Settings>,
    /// The shares of memory.
    pub budget: Budget,
    /// Where decoding runs.
    pub pool: CpuPool,
    /// Stored bytes of the object that decoding has taken up, for who watches.
    pub taken_bytes: Arc<AtomicU64>,
}

/// Why an object could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is another version now, or gone.
    #[error("{key}: {message}")]
    Changed {
        /// The object.
        key: String,
        /// What was seen.
        message: String,
    },
    /// Its bytes are bad.
    #[error("{key}{}: {reason}", at(.position))]
    Bad {
        /// The object.
        key: String,
        /// Where.
        position: Option<Position>,
        /// Why.
        reason: String,
    },
    /// It is in an archive: whole, but not to be had before it is restored.
    #[error(
        "{key}: it is archived (storage class GLACIER, DEEP_ARCHIVE, or an archive tier) and cannot be read before it is restored"
    )]
    Archived {
        /// The object.
        key: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody listens any more.
    #[error("the reader was stopped")]
    Stopped,
}

/// ` line 7` or ` byte 120`, for error text.
pub fn at(position: &Option<Position>) -> String {
    match position {
        Some(Position { line: Some(line), .. }) => format!(" line {line}"),
        Some(Position { line: None, offset }) => format!(" byte {offset}"),
        None => String::new(),
    }
}

impl ReadError {
    /// An object's store error, with the ones that speak of the object itself told apart.
    fn of_store(object: &PlannedObject, error: StoreError) -> Self {
        match error.kind {
            ErrorKind::Changed => Self::Changed {
                key: object.object.key.clone(),
                message: "it was overwritten after it was listed".into(),
            },
            ErrorKind::NotFound => {
                Self::Changed { key: object.object.key.clone(), message: "it was deleted after it was listed".into() }
            }
            ErrorKind::Archived => Self::Archived { key: object.object.key.clone() },
            _ => Self::Store(error),
        }
    }

    fn of_decode(object: &PlannedObject, error: DecodeError) -> Self {
        let position = match &error {
            DecodeError::Bad { position, .. } | DecodeError::TooLarge { position, .. } => *position,
        };
        let reason = match error {
            DecodeError::Bad { reason, .. } => reason,
            large => format!("{large}; raise --memory"),
        };
        Self::Bad { key: object.object.key.clone(), position, reason }
    }
}

/// Bytes of the budget that reading this object takes, at the most. Decoded rows are guessed from the stored size; an
/// object that turns out larger streams instead of being held.
pub fn cost_bytes(planned: &PlannedObject, format: InputFormat, compressed: bool, budget: &Budget) -> u64 {
    let size = planned.object.size;
    let traits = format.traits();
    let growth = if compressed { traits.growth_compressed } else { traits.growth };
    let fetched = if traits.by_ranges { PARTS_FETCH_BYTES } else { FETCH_BYTES };
    let streaming = fetched + budget.blocks_at_once as u64 * (4 << 20);
    let cost = if size <= WHOLE_OBJECT_BYTES_MAX { (size * growth).clamp(64 << 10, streaming) } else { streaming };
    cost.min(budget.read_bytes)
}

/// Where decoded blocks go: held back until the object is known to be good, or sent on as they come.
pub struct Output {
    sender: mpsc::Sender<Decoded>,
    held: Vec<Decoded>,
    held_bytes: u64,
    hold_bytes_max: u64,
    released: bool,
}

impl Output {
    /// Holds back up to `hold_bytes_max` bytes of batches; 0 sends everything on at once.
    pub fn new(hold_bytes_max: u64) -> (Self, mpsc::Receiver<Decoded>) {
        let (sender, receiver) = mpsc::channel(BLOCKS_WAITING);
        (Self { sender, held: Vec::new(), held_bytes: 0, hold_bytes_max, released: hold_bytes_max == 0 }, receiver)
    }

    /// Whether anything may have been sent on: from here on a failure voids the attempt.
    pub fn released(&self) -> bool {
        self.released
    }

    async fn push(&mut self, decoded: Decoded) -> Result<(), ReadError> {
        if !self.released {
            self.held_bytes += decoded.rows.iter().map(|rows| rows.batch().get_array_memory_size() as u64).sum::<u64>();
            self.held.push(decoded);
            if self.held_bytes <= self.hold_bytes_max {
                return Ok(());
            }
            return self.release().await;
        }
        self.sender.send(decoded).await.map_err(|_| ReadError::Stopped)
    }

    async fn release(&mut self) -> Result<(), ReadError> {
        self.released = true;
        for decoded in std::mem::take(&mut self.held) {
            self.sender.send(decoded).await.map_err(|_| ReadError::Stopped)?;
        }
        Ok(())
    }
}

impl Reader {
    /// Reads one object to its end into `output`. When it fails and the output has released nothing, no row of it was
    /// seen.
    pub async fn read(
        &self,
        planned: &PlannedObject,
        table: Arc<TableSchema>,
        output: &mut Output,
    ) -> Result<(), ReadError> {
        if planned.object.archived {
            return Err(ReadError::Archived { key: planned.object.key.clone() });
        }
        let format = self.format(planned)?;
        self.read_object(planned, format, table, output).await?;
        output.release().await
    }

    /// The object's format, by the spec or by its key.
    pub fn format(&self, planned: &PlannedObject) -> Result<InputFormat, ReadError> {
        let key = &planned.object.key;
        format_of(&self.settings, key).ok_or_else(|| ReadError::Bad {
            key: key.clone(),
            position: None,
            reason: "its extension names no known format; set source.format, or narrow source.include".into(),
        })
    }

    /// Whether a single bad record makes the whole object bad, so that it is left out by name.
    fn bad_record_is_fatal(&self) -> bool {
        self.settings.errors.max_bad_records == 0 && self.settings.errors.on_bad_object == OnBadObject::Quarantine
    }

    async fn emit(&self, planned: &PlannedObject, decoded: Decoded, output: &mut Output) -> Result<(), ReadError> {
        if self.bad_record_is_fatal()
            && let Some(bad) = decoded.bad.first()
        {
            return Err(ReadError::Bad {
                key: planned.object.key.clone(),
                position: Some(bad.position),
                reason: bad.reason.clone(),
            });
        }
        output.push(decoded).await
    }
}
