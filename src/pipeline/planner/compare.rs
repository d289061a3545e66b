//! Step 3: what each listed object is beside the ledger. A merge-join of two sorted streams, in constant memory and
//! without a clock.

use std::future::Future;
use std::ops::ControlFlow;
use std::path::Path;

use super::listing::{BucketListing, Listing, ListingError, SortedListing};
use super::selection::Selection;
use crate::model::ledger::{Entry, Outcome, Standing, standing};
use crate::model::object::Object;
use crate::model::passed_over::PassedOver;
use crate::model::plan::SegmentRef;
use crate::pipeline::error::RunError;
use crate::state::blobs::Blobs;
use crate::state::ledger::LedgerStream;
use crate::store::{ErrorKind, Store, StoreError};

/// The join of a listing with a ledger.
#[derive(Clone, Copy)]
pub struct LedgerJoin<'a> {
    /// The source bucket.
    pub source: &'a dyn Store,
    /// What of it counts.
    pub selection: &'a Selection<'a>,
    /// Where the ledger's segments lie.
    pub blobs: &'a Blobs,
    /// The ledger's runs, oldest first.
    pub runs: &'a [Vec<SegmentRef>],
    /// Only keys greater than this.
    pub after: Option<&'a str>,
    /// Where a listing is sorted that does not come in order.
    pub scratch: &'a Path,
}

/// A selected object of the listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The object.
    pub object: Object,
    /// What it is beside the ledger.
    pub standing: Standing,
    /// Why it is quarantined, where it is.
    pub reason: Option<String>,
    /// The epoch that read this version, or tried to; 0 where nobody noted it. `None`: none did.
    pub read_in: Option<u64>,
}

/// Takes what a join finds, in key order, until it has seen enough.
pub trait Sink: Send {
    /// Everything so far is void: the join begins again, because the listing turned out not to be in order.
    fn restart(&mut self);

    /// The next object.
    fn listed(&mut self, compared: Compared) -> impl Future<Output = Result<ControlFlow<()>, RunError>> + Send;

    /// An accounted object that is not listed any more (or not selected).
    fn vanished(&mut self, entry: Entry) -> ControlFlow<()> {
        let _ = entry;
        ControlFlow::Continue(())
    }
}

impl LedgerJoin<'_> {
    /// Shows `sink` every selected object, until it has seen enough. Gives what was passed over, where the whole
    /// listing was seen.
    pub async fn run(&self, sink: &mut impl Sink) -> Result<Option<PassedOver>, RunError> {
        // Not tried in order first: an epoch that is full before the disorder shows would go on behind keys that it
        // never saw.
        if self.selection.is_scattered() {
            return self.run_sorted(sink).await;
        }
        let begins = self.begins_after();
        match self.join(BucketListing::new(self.source, self.selection, begins.as_deref()), sink).await {
            Ok(passed) => Ok(passed),
            Err(ListingError::Run(error)) => Err(error),
            Err(ListingError::Disorder(key)) => {
                tracing::warn!(key, bucket = self.source.place(), "the listing is not in key order: sorting it first");
                sink.restart();
                self.run_sorted(sink).await
            }
        }
    }

    async fn run_sorted(&self, sink: &mut impl Sink) -> Result<Option<PassedOver>, RunError> {
        let listing = SortedListing::new(self.source, self.selection, self.after, self.scratch).await?;
        match self.join(listing, sink).await {
            Err(ListingError::Disorder(key)) => unreachable!("sorted, and yet {key:?} is out of order"),
            Err(ListingError::Run(error)) => Err(error),
            Ok(passed) => Ok(passed),
        }
    }

    /// What was passed over, where it saw the whole listing.
    async fn join(&self, mut listing: impl Listing, sink: &mut impl Sink) -> Result<Option<PassedOver>, ListingError> {
        let begins = self.begins_after();
        let mut ledger = LedgerStream::new(self.blobs, self.runs, begins.as_deref());
        let mut known = ledger.next().await?;
        while let Some(object) = listing.next().await? {
            while let Some(entry) = known.take_if(|entry| entry.object.key < object.key) {
                if sink.vanished(entry).is_break() {
                    return Ok(None);
                }
                known = ledger.next().await?;
            }
            let entry = known.take_if(|entry| entry.object.key == object.key);
            if entry.is_some() {
                known = ledger.next().await?;
            }
            if sink.listed(self.compare(object, entry).await?).await?.is_break() {
                return Ok(None);
            }
        }
        while let Some(entry) = known.filter(|entry| !self.selection.ends_before(&entry.object.key)) {
            if sink.vanished(entry).is_break() {
                return Ok(None);
            }
            known = ledger.next().await?;
        }
        Ok(self.after.is_none().then(|| listing.passed_over()))
    }

    /// An object beside the ledger's entry of its key.
    async fn compare(&self, object: Object, entry: Option<Entry>) -> Result<Compared, StoreError> {
        let mut standing = standing(&object, entry.as_ref());
        let Some(Entry { outcome, epoch, .. }) = entry else {
            return Ok(Compared { object, standing, reason: None, read_in: None });
        };
        if standing == Standing::Quarantined && outcome == Outcome::Archived && self.is_restored(&object).await? {
            standing = Standing::Replaced;
        }
        let reason = outcome.reason().filter(|_| standing == Standing::Quarantined).map(str::to_owned);
        // What is archived still would be no other if it were tried again.
        let was_tried = matches!(standing, Standing::Known | Standing::Quarantined)
            && matches!(outcome, Outcome::Published | Outcome::Quarantined { .. });
        let read_in = was_tried.then(|| epoch.unwrap_or(0));
        Ok(Compared { object, standing, reason, read_in })
    }

    /// Whether an object that was archived can be read by now. A listing that does not say so costs a request for each
    /// such object: one byte, and not an epoch.
    async fn is_restored(&self, object: &Object) -> Result<bool, StoreError> {
        if object.archived {
            return Ok(false);
        }
        match self.source.get(&object.key, Some(0..1), Some(&object.etag)).await {
            Err(error) if error.kind == ErrorKind::Archived => Ok(false),
            // What changed under way is for the read to report.
            Err(error) if !matches!(error.kind, ErrorKind::Changed | ErrorKind::NotFound) => Err(error),
            _ => Ok(true),
        }
    }

    /// Where listing and ledger begin: what lies before is of earlier epochs, or outside the window.
    fn begins_after(&self) -> Option<String> {
        self.selection.starts_after().into_iter().chain(self.after.map(str::to_owned)).max()
    }
}
