//! Whether Replace has anything to do: it reads everything or nothing.

use super::same_settings;
use super::scan::{Flow, Found, Scan, Sink};
use crate::model::ledger::{Entry, LedgerHead, Standing};
use crate::model::passed_over::PassedOver;
use crate::model::settings::Settings;
use crate::pipeline::error::RunError;

/// Whether the listing and the settings are as they were when the ledger was written, and if so, what was passed over,
/// and how many objects are selected. Reads the listing up to the first difference.
pub(super) async fn is_same(
    scan: &Scan<'_>,
    head: &LedgerHead,
    settings: &Settings,
) -> Result<Option<(PassedOver, u64)>, RunError> {
    if !same_settings(head, settings) {
        return Ok(None);
    }
    let mut compare = Compare { scan, same: true, seen: 0 };
    let passed = Scan { ..*scan }.run(&mut compare).await?;
    Ok(compare.same.then(|| (passed.unwrap_or_default(), compare.seen)))
}

struct Compare<'a> {
    scan: &'a Scan<'a>,
    same: bool,
    seen: u64,
}

impl Sink for Compare<'_> {
    fn restart(&mut self) {
        (self.same, self.seen) = (true, 0);
    }

    async fn found(&mut self, Found { object, standing, .. }: Found) -> Result<Flow, RunError> {
        self.seen += 1;
        self.same = match standing {
            Standing::Known | Standing::Quarantined => true,
            // A key without a table is no sameness: planning says what is wrong with it.
            Standing::New | Standing::Overwritten | Standing::Replaced => {
                matches!(self.scan.selection.table(&object.key), Ok(None))
            }
        };
        Ok(if self.same { Flow::Go } else { Flow::Stop })
    }

    fn vanished(&mut self, _: Entry) -> Flow {
        self.same = false;
        Flow::Stop
    }
}
