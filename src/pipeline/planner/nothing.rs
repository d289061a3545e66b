//! A source in which nothing is selected: more often a slip of the pen than a wish, so the sentence says what was
//! looked for, and where.

use futures::StreamExt;

use super::selection::Selection;
use super::table_error;
use crate::model::glob::Glob;
use crate::model::passed_over::PassedOver;
use crate::model::settings::{OnNothingFound, Settings};
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::store::{Store, StoreError};

/// Globs of a list that a sentence names; the rest is counted.
const GLOBS_MAX: usize = 3;

/// Says that nothing is selected, where that is, by what, and what may be wrong. `passed` is what a look at the whole
/// listing passed over; `read_before`: something was read in an earlier run.
///
/// # Errors [`RunErrorKind::NotFound`] when the spec names one key: an object that is asked for by name is missed,
/// unless it was there once. The same where the spec wants it so, by `errors.onNothingFound`. And those of the store,
/// of which one request is made.
pub(super) async fn nothing_selected(
    source: &dyn Store,
    settings: &Settings,
    passed: &PassedOver,
    read_before: bool,
) -> Result<String, RunError> {
    let selection = Selection::new(settings).map_err(|error| table_error(settings, error))?;
    let sentence = describe(source, settings, &selection, passed, read_before).await?;
    match settings.on_nothing_found {
        OnNothingFound::Succeed => Ok(sentence),
        OnNothingFound::Fail => {
            let message = format!("{}: {sentence}; errors.onNothingFound is Fail", settings.id);
            Err(RunError::new(RunErrorKind::NotFound, message))
        }
    }
}

async fn describe(
    source: &dyn Store,
    settings: &Settings,
    selection: &Selection<'_>,
    passed: &PassedOver,
    read_before: bool,
) -> Result<String, RunError> {
    let place = source.place();
    if let Some(key) = selection.only_key() {
        if read_before {
            return Ok(format!("no object is selected: {place}/{key} is not there any more"));
        }
        let directory = format!("{key}/");
        let hint = match has_objects(source, &directory).await? {
            true => format!("there are objects under {directory}: end source.uri with / to read them"),
            false => "check the key, or put the object there".to_owned(),
        };
        return Err(RunError::new(
            RunErrorKind::NotFound,
            format!("{}: there is no object {place}/{key}; {hint}", settings.id),
        ));
    }
    let (prefix, globs) = (selection.prefix(), globs(settings));
    Ok(match !passed.is_empty() {
        true => format!(
            "no object is selected under {place}/{prefix}{globs}, though there are some: look at source.include, exclude and tables.include, and set \
             source.format where extensions name none"
        ),
        false => {
            format!(
                "no object is selected, because there is none under {place}/{prefix}{globs}: look at source.bucket, prefix and uri"
            )
        }
    })
}

/// The globs of the source, where there are any: ` (include a/*.csv, b/*.csv; exclude *.tmp)`.
fn globs(settings: &Settings) -> String {
    let source = &settings.source;
    let named = |name: &str, globs: &[Glob]| {
        let mut texts: Vec<&str> = globs.iter().take(GLOBS_MAX).map(Glob::as_str).collect();
        let more = format!("{} more", globs.len().saturating_sub(GLOBS_MAX));
        if globs.len() > GLOBS_MAX {
            texts.push(&more);
        }
        (!globs.is_empty()).then(|| format!("{name} {}", texts.join(", ")))
    };
    let lists = [("include", &source.include), ("exclude", &source.exclude), ("tables.include", &source.table_include)];
    let parts: Vec<String> = lists.into_iter().filter_map(|(name, globs)| named(name, globs)).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
}

async fn has_objects(source: &dyn Store, prefix: &str) -> Result<bool, StoreError> {
    let mut pages = source.list(prefix, None);
    while let Some(page) = pages.next().await {
        if !page?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
