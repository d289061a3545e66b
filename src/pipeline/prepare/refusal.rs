//! What objects and records that cannot be read mean for the run.

use super::Shard;
use crate::codec::BadRecord;
use crate::model::format::InputFormat;
use crate::model::manifest::{Excluded, Exclusion};
use crate::model::plan::PlannedObject;
use crate::model::settings::{OnBadObject, Settings};
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::pipeline::read::{ReadError, at};

/// What a failed read means: an object to leave out, or the end of the run.
pub(super) fn exclusion(shard: &Shard<'_>, planned: &PlannedObject, error: ReadError) -> Result<Excluded, RunError> {
    let reason = match &error {
        ReadError::Changed { .. } => Exclusion::Changed,
        ReadError::Archived { .. } if shard.plan.settings.errors.on_bad_object == OnBadObject::Quarantine => {
            Exclusion::Archived
        }
        ReadError::Archived { .. } => {
            return Err(RunError::new(
                RunErrorKind::BadData,
                format!(
                    "{}: {}/{error}; restore it, leave it out with source.exclude, or set errors.onBadObject: Quarantine, which leaves it out \
                     until it is restored",
                    shard.plan.settings.id,
                    shard.context.source.place(),
                ),
            ));
        }
        ReadError::Bad { .. } if shard.plan.settings.errors.on_bad_object == OnBadObject::Quarantine => {
            Exclusion::Quarantined
        }
        ReadError::Bad { .. } => {
            return Err(RunError::new(
                RunErrorKind::BadData,
                format!(
                    "{}: {}/{error}; {}mend or remove the object, or set errors.onBadObject: Quarantine",
                    shard.plan.settings.id,
                    shard.context.source.place(),
                    stray(&shard.plan.settings, &planned.object.key),
                ),
            ));
        }
        ReadError::Stopped => return Err(shard.context.interrupted()),
        ReadError::Store(_) => {
            let ReadError::Store(error) = error else { unreachable!("just matched") };
            let mut run_error = RunError::from(error);
            run_error.message = format!("{}: {}", shard.plan.settings.id, run_error.message);
            return Err(run_error);
        }
    };
    Ok(Excluded {
        key: planned.object.key.clone(),
        etag: planned.object.etag.as_str().to_owned(),
        reason,
        message: error.to_string(),
    })
}

/// Why a bad record ends the run.
pub(super) fn bad_record(shard: &Shard<'_>, planned: &PlannedObject, bad: &BadRecord) -> RunError {
    let allowed = shard.plan.settings.errors.max_bad_records;
    let advice = if allowed == 0 {
        "mend the object, or allow bad records with errors.maxBadRecords and errors.deadLetterPath".to_owned()
    } else {
        format!("it is one more than the {allowed} that errors.maxBadRecords allows")
    };
    RunError::new(
        RunErrorKind::BadData,
        format!(
            "{}: {}/{}{}: {}; {}{advice}",
            shard.plan.settings.id,
            shard.context.source.place(),
            planned.object.key,
            at(&Some(bad.position)),
            bad.reason,
            stray(&shard.plan.settings, &planned.object.key),
        ),
    )
}

/// What may be wrong with an object that cannot be read in the format that the spec names, where its key says another
/// one, or none.
fn stray(settings: &Settings, key: &str) -> String {
    match settings.source.format {
        Some(format) if InputFormat::of_key(key).is_none_or(|(named, _)| named != format) => {
            format!(
                "source.format reads every object as {format}, whatever its key says: leave it out with source.exclude, "
            )
        }
        _ => String::new(),
    }
}
