//! Whether Replace has anything to do: it reads everything or nothing.

use std::ops::ControlFlow;

use super::compare::{Compared, LedgerJoin, Sink};
use super::{Remarks, published};
use crate::model::ledger::{Entry, LedgerHead, Standing};
use crate::model::passed_over::PassedOver;
use crate::model::plan::BlobKey;
use crate::model::settings::Settings;
use crate::model::spec_hash::output_digest;
use crate::pipeline::error::RunError;

/// Whether what Replace would write stands there already: the listing and the spec are as they were, and so are the
/// published files. If so, how many objects are selected.
pub(super) async fn stands(
    join: &LedgerJoin<'_>,
    head: &LedgerHead,
    settings: &Settings,
    record: Option<&BlobKey>,
    remarks: &mut Remarks,
) -> Result<Option<u64>, RunError> {
    // How the work is spread makes no other rows; other settings do.
    if head.settings != output_digest(settings) {
        return Ok(None);
    }
    let Some((passed, seen)) = is_listed_as_before(join).await? else { return Ok(None) };
    let stands = match record {
        Some(record) => published::stands(join.blobs, record, remarks).await?,
        None => true,
    };
    if stands {
        remarks.passed_over(Some(passed));
    }
    Ok(stands.then_some(seen))
}

/// Whether the listing is as it was when the ledger was written, and if so, what was passed over, and how many objects
/// are selected. Reads the listing up to the first difference.
async fn is_listed_as_before(join: &LedgerJoin<'_>) -> Result<Option<(PassedOver, u64)>, RunError> {
    let mut difference = Difference { join, found: false, seen: 0 };
    let passed = join.run(&mut difference).await?;
    Ok((!difference.found).then(|| (passed.unwrap_or_default(), difference.seen)))
}

/// Looks for the first difference.
struct Difference<'a> {
    join: &'a LedgerJoin<'a>,
    found: bool,
    seen: u64,
}

impl Sink for Difference<'_> {
    fn restart(&mut self) {
        (self.found, self.seen) = (false, 0);
    }

    async fn listed(&mut self, Compared { object, standing, .. }: Compared) -> Result<ControlFlow<()>, RunError> {
        self.seen += 1;
        self.found = match standing {
            Standing::Known | Standing::Quarantined => false,
            // A key without a table is a difference: planning says what is wrong with it.
            Standing::New | Standing::Overwritten | Standing::Replaced => {
                !matches!(self.join.selection.table(&object.key), Ok(None))
            }
        };
        Ok(if self.found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn vanished(&mut self, _: Entry) -> ControlFlow<()> {
        self.found = true;
        ControlFlow::Break(())
    }
}
