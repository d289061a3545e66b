//! Steps 1 and 2: what the source has and the spec selects, object by object in key order.
//!
//! A bucket lists in key order, and its pages are handed on as they come. Where it does not, what it lists is sorted
//! over scratch first. What follows sees a [`Listing`] alone.

use std::future::Future;
use std::path::Path;

use futures::StreamExt;
use futures::stream::BoxStream;

use super::external_sort::{ExternalSorter, Sorted};
use super::selection::Selection;
use crate::model::object::Object;
use crate::model::passed_over::PassedOver;
use crate::model::plan::PlannedObject;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::store::{Store, StoreError};

/// Selected objects, in strictly increasing key order, each with what is known of it before it is read.
pub(super) trait Listing: Send {
    /// The next object; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Object>, ListingError>> + Send;

    /// What was not selected, of what was looked at so far.
    fn passed_over(self) -> PassedOver;
}

/// Why there is no next object.
pub(super) enum ListingError {
    /// This key does not follow the one before.
    Disorder(String),
    Run(RunError),
}

impl<E: Into<RunError>> From<E> for ListingError {
    fn from(error: E) -> Self {
        ListingError::Run(error.into())
    }
}

/// The pages of a bucket, as they come.
pub(super) struct BucketListing<'a> {
    selection: &'a Selection<'a>,
    pages: BoxStream<'a, Result<Vec<Object>, StoreError>>,
    page: std::vec::IntoIter<Object>,
    last: Option<String>,
    passed: PassedOver,
}

impl<'a> BucketListing<'a> {
    /// Of keys greater than `after`.
    pub fn new(source: &'a dyn Store, selection: &'a Selection<'a>, after: Option<&'a str>) -> Self {
        Self {
            selection,
            pages: source.list(selection.prefix(), after),
            page: Vec::new().into_iter(),
            last: after.map(str::to_owned),
            passed: PassedOver::default(),
        }
    }

    /// Whether all keys of a page follow each other and the page before.
    fn check(&mut self, page: &[Object]) -> Result<(), ListingError> {
        let mut last = self.last.as_deref();
        for object in page {
            if last.is_some_and(|last| last >= object.key.as_str()) {
                return Err(ListingError::Disorder(object.key.clone()));
            }
            last = Some(&object.key);
        }
        self.last = last.map(str::to_owned);
        Ok(())
    }
}

impl Listing for BucketListing<'_> {
    async fn next(&mut self) -> Result<Option<Object>, ListingError> {
        loop {
            for object in self.page.by_ref() {
                // In key order, as was checked: nothing that follows is wanted.
                if self.selection.ends_before(&object.key) {
                    return Ok(None);
                }
                match self.selection.passes_over(&object) {
                    None => return Ok(Some(object)),
                    Some(reason) => self.passed.note(reason, &object.key),
                }
            }
            let Some(page) = self.pages.next().await else { return Ok(None) };
            let page = page?;
            self.check(&page)?;
            self.page = page.into_iter();
        }
    }

    fn passed_over(self) -> PassedOver {
        self.passed
    }
}

/// A whole bucket, sorted over scratch.
pub(super) struct SortedListing<'a> {
    sorted: Sorted,
    scratch: &'a Path,
    passed: PassedOver,
}

impl<'a> SortedListing<'a> {
    /// Lists everything, and keeps the keys greater than `after`: where keys are scattered the server does not know
    /// "after" either.
    pub async fn new(
        source: &'a dyn Store,
        selection: &Selection<'_>,
        after: Option<&str>,
        scratch: &'a Path,
    ) -> Result<Self, RunError> {
        let mut sorter = ExternalSorter::new(scratch);
        let mut passed = PassedOver::default();
        let mut pages = source.list(selection.prefix(), None);
        while let Some(page) = pages.next().await {
            for object in page? {
                if let Some(reason) = selection.passes_over(&object) {
                    passed.note(reason, &object.key);
                } else if after.is_none_or(|after| object.key.as_str() > after) {
                    sorter
                        .push(PlannedObject { object, table: 0, slice: None })
                        .await
                        .map_err(|error| scratch_error(scratch, error))?;
                }
            }
        }
        let sorted = sorter.finish().await.map_err(|error| scratch_error(scratch, error))?;
        Ok(Self { sorted, scratch, passed })
    }
}

impl Listing for SortedListing<'_> {
    async fn next(&mut self) -> Result<Option<Object>, ListingError> {
        let next = self.sorted.next().await.map_err(|error| scratch_error(self.scratch, error))?;
        Ok(next.map(|planned| planned.object))
    }

    fn passed_over(self) -> PassedOver {
        self.passed
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
