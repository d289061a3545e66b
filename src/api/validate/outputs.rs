//! Two syncs that would write one key. With a path that names the same keys in every run, each run of one replaces the
//! files of the other.

use super::Resolved;
use crate::model::settings::TableRule;
use crate::model::template::KeyShape;

/// The keys that both syncs would write, as text, where that follows from the manifests alone. Which tables and objects
/// there are shows only in the bucket: a run that meets another sync's files there is refused by a claim.
pub fn common_output(one: &Resolved, other: &Resolved) -> Option<String> {
    if !one.destination.same_place(&other.destination)
        || one.settings.destination.bucket != other.settings.destination.bucket
    {
        return None;
    }
    let (one, other) = (fixed_keys(one)?, fixed_keys(other)?);
    if one.to_string() == other.to_string() || one.only_key().is_some_and(|key| other.matches(key)) {
        return Some(one.to_string());
    }
    other.only_key().filter(|key| one.matches(key)).map(str::to_owned)
}

/// The keys of a sync whose path is the same in every run and for every table and object that it may find.
fn fixed_keys(sync: &Resolved) -> Option<KeyShape> {
    let template = &sync.settings.destination.template;
    let table = match &sync.settings.source.tables {
        TableRule::Fixed { name } => Some(name.as_str()),
        _ => None,
    };
    let one_table = table.is_some() || !template.has_table();
    let fixed = one_table && !template.is_unique() && !template.per_source();
    fixed.then(|| sync.settings.output_keys(table))
}
