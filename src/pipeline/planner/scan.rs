//! The merge-join of listing and ledger: what every listed object is beside what is accounted for, in constant memory
//! and without a clock.

use std::future::Future;
use std::path::Path;

use futures::StreamExt;
use futures::stream::BoxStream;

use super::selection::Selection;
use super::sort::{Sorted, Sorter};
use crate::model::ledger::{Entry, Outcome, Standing, standing};
use crate::model::object::Object;
use crate::model::passed_over::PassedOver;
use crate::model::plan::{PlannedObject, SegmentRef};
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::blobs::Blobs;
use crate::state::ledger::LedgerStream;
use crate::store::{ErrorKind, Store, StoreError};

/// A listing to be joined with a ledger.
pub struct Scan<'a> {
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
pub struct Found {
    /// The object.
    pub object: Object,
    /// What it is beside the ledger.
    pub standing: Standing,
    /// Why it is quarantined, where it is.
    pub reason: Option<String>,
    /// The epoch that read this version, or tried to; 0 where nobody noted it. `None`: none did.
    pub read_in: Option<u64>,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// With the next one.
    Go,
    /// Enough was seen.
    Stop,
}

/// Takes what a scan finds, in key order.
pub trait Sink: Send {
    /// Everything so far is void: the scan begins again, because the listing turned out not to be in order.
    fn restart(&mut self);

    /// The next object.
    fn found(&mut self, found: Found) -> impl Future<Output = Result<Flow, RunError>> + Send;

    /// An accounted object that is not listed any more (or not selected).
    fn vanished(&mut self, entry: Entry) -> Flow {
        let _ = entry;
        Flow::Go
    }
}

impl Scan<'_> {
    /// Shows `sink` every selected object, until it has seen enough. Gives what it passed over, where it saw the whole
    /// listing.
    pub async fn run(&self, sink: &mut impl Sink) -> Result<Option<PassedOver>, RunError> {
        // Not tried in order first: an epoch that is full before the disorder shows would go on behind keys that it
        // never saw.
        if self.selection.is_scattered() {
            return self.run_sorted(sink).await;
        }
        let begins = self.begins_after();
        let mut listed = Listed::Pages(Pages::new(self, begins.as_deref()));
        match self.join(&mut listed, sink).await {
            Ok(flow) => Ok(listed.passed_over().filter(|_| flow == Flow::Go && self.after.is_none())),
            Err(ScanError::Run(error)) => Err(error),
            Err(ScanError::Disorder(key)) => {
                tracing::warn!(key, bucket = self.source.place(), "the listing is not in key order: sorting it first");
                sink.restart();
                self.run_sorted(sink).await
            }
        }
    }

    async fn run_sorted(&self, sink: &mut impl Sink) -> Result<Option<PassedOver>, RunError> {
        let (sorted, passed) = self.sorted().await?;
        match self.join(&mut Listed::Sorted(sorted), sink).await {
            Err(ScanError::Disorder(key)) => unreachable!("sorted, and yet {key:?} is out of order"),
            Err(ScanError::Run(error)) => Err(error),
            Ok(flow) => Ok(Some(passed).filter(|_| flow == Flow::Go && self.after.is_none())),
        }
    }

    /// [`Flow::Go`] when it came to the end.
    async fn join(&self, listed: &mut Listed<'_>, sink: &mut impl Sink) -> Result<Flow, ScanError> {
        let begins = self.begins_after();
        let mut ledger = LedgerStream::new(self.blobs, self.runs, begins.as_deref());
        let mut known = ledger.next().await?;
        while let Some(object) = listed.next(self).await? {
            while let Some(entry) = known.take_if(|entry| entry.object.key < object.key) {
                if sink.vanished(entry) == Flow::Stop {
                    return Ok(Flow::Stop);
                }
                known = ledger.next().await?;
            }
            let same_key = known.as_ref().filter(|entry| entry.object.key == object.key);
            let mut standing = standing(&object, same_key);
            let (mut reason, mut read_in) = (None, None);
            if standing != Standing::New {
                let (outcome, epoch) = known.map(|entry| (entry.outcome, entry.epoch)).unzip();
                if standing == Standing::Quarantined
                    && outcome == Some(Outcome::Archived)
                    && self.is_restored(&object).await?
                {
                    standing = Standing::Replaced;
                }
                if standing == Standing::Quarantined {
                    reason = outcome.as_ref().and_then(Outcome::reason).map(str::to_owned);
                }
                // What is archived still would be no other if it were tried again.
                if matches!(standing, Standing::Known | Standing::Quarantined)
                    && matches!(outcome, Some(Outcome::Published | Outcome::Quarantined { .. }))
                {
                    read_in = Some(epoch.flatten().unwrap_or(0));
                }
                known = ledger.next().await?;
            }
            if sink.found(Found { object, standing, reason, read_in }).await? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        while let Some(entry) = known.filter(|entry| !self.selection.ends_before(&entry.object.key)) {
            if sink.vanished(entry) == Flow::Stop {
                return Ok(Flow::Stop);
            }
            known = ledger.next().await?;
        }
        Ok(Flow::Go)
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

    /// The whole selection, sorted over scratch. Where keys are scattered the server does not know "after" either.
    async fn sorted(&self) -> Result<(Sorted, PassedOver), RunError> {
        let mut sorter = Sorter::new(self.scratch);
        let mut passed = PassedOver::default();
        let mut pages = self.source.list(self.selection.prefix(), None);
        while let Some(page) = pages.next().await {
            for object in page? {
                if let Some(reason) = self.selection.passes_over(&object) {
                    passed.note(reason, &object.key);
                } else if self.after.is_none_or(|after| object.key.as_str() > after) {
                    sorter
                        .push(PlannedObject { object, table: 0, slice: None })
                        .await
                        .map_err(|error| scratch_error(self.scratch, error))?;
                }
            }
        }
        let sorted = sorter.finish().await.map_err(|error| scratch_error(self.scratch, error))?;
        Ok((sorted, passed))
    }
}

/// What a failure of the scratch directory means.
pub(super) fn scratch_error(scratch: &Path, error: std::io::Error) -> RunError {
    let message = format!(
        "the scratch directory {} cannot take the listing: {error}; make room there or name another",
        scratch.display()
    );
    RunError::because(RunErrorKind::Failed, message, error)
}

enum ScanError {
    /// This key does not follow the one before.
    Disorder(String),
    Run(RunError),
}

impl<E: Into<RunError>> From<E> for ScanError {
    fn from(error: E) -> Self {
        ScanError::Run(error.into())
    }
}

/// Selected objects, in strictly increasing key order.
enum Listed<'a> {
    Pages(Pages<'a>),
    Sorted(Sorted),
}

struct Pages<'a> {
    pages: BoxStream<'a, Result<Vec<Object>, StoreError>>,
    page: std::vec::IntoIter<Object>,
    last: Option<String>,
    passed: PassedOver,
}

impl<'a> Pages<'a> {
    fn new(scan: &Scan<'a>, begins: Option<&'a str>) -> Self {
        let pages = scan.source.list(scan.selection.prefix(), begins);
        Self { pages, page: Vec::new().into_iter(), last: begins.map(str::to_owned), passed: PassedOver::default() }
    }

    /// Whether all keys of a page follow each other and the page before.
    fn check(&mut self, page: &[Object]) -> Result<(), ScanError> {
        let mut last = self.last.as_deref();
        for object in page {
            if last.is_some_and(|last| last >= object.key.as_str()) {
                return Err(ScanError::Disorder(object.key.clone()));
            }
            last = Some(&object.key);
        }
        self.last = last.map(str::to_owned);
        Ok(())
    }
}

impl Listed<'_> {
    /// What was passed over so far; sorting counts by itself.
    fn passed_over(self) -> Option<PassedOver> {
        match self {
            Listed::Pages(pages) => Some(pages.passed),
            Listed::Sorted(_) => None,
        }
    }

    async fn next(&mut self, scan: &Scan<'_>) -> Result<Option<Object>, ScanError> {
        match self {
            Listed::Sorted(sorted) => {
                let next = sorted.next().await.map_err(|error| scratch_error(scan.scratch, error))?;
                Ok(next.map(|planned| planned.object))
            }
            Listed::Pages(pages) => loop {
                for object in pages.page.by_ref() {
                    // In key order, as was checked: nothing that follows is wanted.
                    if scan.selection.ends_before(&object.key) {
                        return Ok(None);
                    }
                    match scan.selection.passes_over(&object) {
                        None => return Ok(Some(object)),
                        Some(reason) => pages.passed.note(reason, &object.key),
                    }
                }
                let Some(page) = pages.pages.next().await else { return Ok(None) };
                let page = page?;
                pages.check(&page)?;
                pages.page = page.into_iter();
            },
        }
    }
}
