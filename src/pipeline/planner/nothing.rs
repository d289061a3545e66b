//! A source in which nothing is selected: more often a slip of the pen than a wish, so it is looked at once more to say which.

use futures::StreamExt;

use super::selection::Selection;
use super::table_error;
use crate::model::settings::Settings;
use crate::pipeline::error::{RunError, RunErrorKind};
use crate::store::{Store, StoreError};

/// Says that nothing is selected, where that is, and what may be wrong. A request or two.
///
/// # Errors
/// [`RunErrorKind::NotFound`] when the spec names one key: an object that is asked for by name is missed. And those of the store.
pub async fn nothing_selected(source: &dyn Store, settings: &Settings) -> Result<String, RunError> {
    let selection = Selection::new(settings).map_err(|error| table_error(settings, error))?;
    let place = source.place();
    if let Some(key) = selection.only_key() {
        let directory = format!("{key}/");
        let hint = match has_objects(source, &directory).await? {
            true => format!("there are objects under {directory}: end source.uri with / to read them"),
            false => "check the key, or put the object there".to_owned(),
        };
        return Err(RunError::new(RunErrorKind::NotFound, format!("{}: there is no object {place}/{key}; {hint}", settings.id)));
    }
    let prefix = selection.prefix();
    Ok(match has_objects(source, prefix).await? {
        true => format!(
            "no object is selected under {place}/{prefix}, though there are some: look at source.include, exclude and tables.include, and set \
             source.format where extensions name none"
        ),
        false => format!("no object is selected, because there is none under {place}/{prefix}: look at source.bucket, prefix and uri"),
    })
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
