//! Protocol step 3: every shard is prepared; either the schema held and one attempt of each is chosen, or it did not
//! and the tables concerned are planned again under a wider one.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::manifest::{AttemptManifest, Decision, FileKind, SchemaMismatch};
use crate::model::plan::{BlobKey, FrozenTable, Plan};
use crate::model::schema::{TableSchema, frozen, merge};
use crate::model::write_mode::OnEmpty;
use crate::pipeline::commit::own::{OwnKeys, check_attempt};
use crate::pipeline::context::Context;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::state::blobs::{BlobError, Blobs};
use crate::store::ErrorKind;

/// Plans of one epoch: the lattice is at most five kinds of types high, decimals grow once or twice, because all values
/// that do not fit are met in one pass, and nested columns climb side by side, so 16 is never reached by data.
const PLANS_MAX: u32 = 16;

/// Uploads older than this may have been dropped by the server (MinIO does after 24 hours), so they are looked at
/// before they are decided on.
const UPLOAD_AGE_HOURS_TRUSTED: i64 = 12;

/// What the prepared shards say.
pub enum Verdict {
    /// One attempt of each: the commit.
    Decision(Decision),
    /// A wider schema, for these shards to be prepared again.
    Replan(Box<Plan>),
    /// Manifests that do not count as prepared, and are in the way: their uploads are gone, or they are not ours.
    Void(Vec<BlobKey>),
}

/// Looks at the prepared attempts of every shard. `in_force` gives the schema that earlier epochs settled on;
/// `published` is the last commit record.
pub async fn decide(
    context: &Context,
    blobs: &Blobs,
    plan_key: &BlobKey,
    plan: &Plan,
    prepared: &BTreeMap<u32, Vec<BlobKey>>,
    in_force: &dyn Fn(&str) -> Option<TableSchema>,
    published: Option<&BlobKey>,
) -> Result<Verdict, RunError> {
    let (mut attempts, mut digests) = (Vec::with_capacity(plan.shards.len()), Vec::with_capacity(plan.shards.len()));
    let mut mismatches: BTreeMap<u32, SchemaMismatch> = BTreeMap::new();
    let own = OwnKeys::of(&plan.settings);
    let mut void = Vec::new();
    let mut bad_records = 0u64;
    let mut excluded: BTreeSet<String> = BTreeSet::new();
    let mut sliced: Vec<(u32, String)> = Vec::new();
    let mut keys: BTreeSet<String> = BTreeSet::new();
    let mut with_rows: BTreeSet<u32> = BTreeSet::new();
    for number in 0..plan.shards.len() as u32 {
        let candidates = prepared.get(&number).expect("every shard is prepared");
        let Some((key, manifest, digest)) = first_of_ours(blobs, plan, &own, number, candidates).await? else {
            void.extend_from_slice(candidates);
            continue;
        };
        if !still_there(context, &manifest).await? {
            tracing::warn!(manifest = key.0, "the uploads of a prepared shard are gone: preparing it again");
            void.push(key.clone());
        }
        bad_records += manifest.bad_records;
        excluded.extend(manifest.excluded.iter().map(|object| object.key.clone()));
        sliced.extend(manifest.sliced.map(|key| (number, key)));
        if let Some(twice) = manifest.files.iter().find(|file| !keys.insert(file.key.clone())) {
            let advice = plan.settings.destination.template.would_tell_apart();
            let message = format!(
                "{}: two output files would have the key {}; put {advice} into destination.path",
                plan.settings.id, twice.key
            );
            return Err(RunError::new(RunErrorKind::InvalidSpec, message));
        }
        if manifest.files.iter().any(|file| file.kind == FileKind::Data) {
            with_rows.insert(number);
        }
        for mismatch in manifest.mismatches {
            mismatches
                .entry(mismatch.table)
                .and_modify(|known| known.schema = merge(&known.schema, &mismatch.schema))
                .or_insert(mismatch);
        }
        attempts.push(key.clone());
        digests.push(digest);
    }
    if !void.is_empty() {
        return Ok(Verdict::Void(void));
    }
    if bad_records > plan.settings.errors.max_bad_records {
        return Err(RunError::new(
            RunErrorKind::BadData,
            format!(
                "{}: the epoch has {bad_records} bad records, more than the {} that errors.maxBadRecords allows; run with -v to see each",
                plan.settings.id, plan.settings.errors.max_bad_records
            ),
        ));
    }
    if !mismatches.is_empty() {
        return replan(plan, &mismatches, in_force).map(|plan| Verdict::Replan(Box::new(plan)));
    }
    let dropped: Vec<u32> =
        sliced.into_iter().filter(|(_, key)| excluded.contains(key)).map(|(shard, _)| shard).collect();
    if with_rows.iter().all(|shard| dropped.contains(shard)) {
        refuse_nothing(blobs, plan, published).await?;
    }
    Ok(Verdict::Decision(Decision {
        version: Decision::VERSION,
        epoch: plan.epoch,
        plan: plan_key.clone(),
        attempts,
        digests,
        amended: Vec::new(),
        dropped,
        abandoned: Vec::new(),
    }))
}

/// The first attempt at a shard that is one of ours. The others are said, and are no reason to stop: the shard is
/// prepared again.
async fn first_of_ours<'a>(
    blobs: &Blobs,
    plan: &Plan,
    own: &OwnKeys,
    number: u32,
    candidates: &'a [BlobKey],
) -> Result<Option<(&'a BlobKey, AttemptManifest, String)>, RunError> {
    for key in candidates {
        let reason = match blobs.get_attempt(key, plan).await {
            Ok((manifest, digest)) => match check_attempt(plan, own, number, &manifest) {
                Ok(()) => return Ok(Some((key, manifest, digest))),
                Err(reason) => reason,
            },
            Err(BlobError::Nonsense { reason, .. }) => reason,
            Err(BlobError::Missing { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        tracing::warn!(sync = %plan.settings.id, manifest = key.0, reason, "an attempt is not one of ours, and is not used");
    }
    Ok(None)
}

/// Refuses to replace what is published by nothing, as planning does where nothing is listed: here no object gave a
/// row.
async fn refuse_nothing(blobs: &Blobs, plan: &Plan, published: Option<&BlobKey>) -> Result<(), RunError> {
    let destination = &plan.settings.destination;
    let objects: u64 = plan.tables.iter().map(|table| table.objects).sum();
    let refuses = destination.write_mode.on_empty(destination.allow_empty) == OnEmpty::Refuse;
    let Some(published) = published.filter(|_| refuses && objects > 0) else {
        return Ok(());
    };
    let (_, mut files) = blobs.commit_record(published).await?;
    let mut count = 0u64;
    while files.next().await?.is_some() {
        count += 1;
    }
    if count == 0 {
        return Ok(());
    }
    let message = format!(
        "{}: none of the {objects} objects gave a row, and the {count} published files would be replaced by nothing: mend the objects, or set \
         destination.allowEmpty",
        plan.settings.id
    );
    Err(RunError::new(RunErrorKind::BadData, message))
}

/// Whether an attempt's uploads can be relied on.
async fn still_there(context: &Context, manifest: &AttemptManifest) -> Result<bool, RunError> {
    let age = context.destination.server_time() - manifest.prepared_at;
    if age.total(jiff::Unit::Hour).unwrap_or(0.0) < UPLOAD_AGE_HOURS_TRUSTED as f64 {
        return Ok(true);
    }
    for file in &manifest.files {
        match context.destination.list_parts(&file.key, &file.upload).await {
            Ok(parts) if parts.len() == file.parts.len() => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind == ErrorKind::NoSuchUpload => return Ok(false),
            Err(error) if error.kind == ErrorKind::Unsupported => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

fn replan(
    plan: &Plan,
    mismatches: &BTreeMap<u32, SchemaMismatch>,
    in_force: &dyn Fn(&str) -> Option<TableSchema>,
) -> Result<Plan, RunError> {
    let number = plan.number + 1;
    let mut next = Plan { number, ..plan.clone() };
    for (&index, mismatch) in mismatches {
        let table: &mut FrozenTable = &mut next.tables[index as usize];
        let wider = merge(&table.schema, &mismatch.schema);
        let refused = |reason: String| {
            RunError::new(
                RunErrorKind::BadData,
                format!("{}: table {}: {}: {reason}", plan.settings.id, table.name, mismatch.key),
            )
        };
        let replaces = !plan.settings.destination.write_mode.keeps_published();
        let schema = frozen(&plan.settings.schema, replaces, &wider, in_force(&table.name).as_ref());
        let schema = schema.map_err(|error| refused(error.to_string()))?;
        if schema == table.schema || number >= PLANS_MAX {
            return Err(refused(
                "its values fit no schema that could be found; declare the columns, or use schema.mode: Strings".into(),
            ));
        }
        table.schema = schema;
    }
    for shard in &mut next.shards {
        let (first, last) = shard.tables;
        if mismatches.keys().any(|&table| (first..=last).contains(&table)) {
            shard.plan = number;
        }
    }
    Ok(next)
}
