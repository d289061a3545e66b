//! What of a listing is read: prefix, globs, formats, tables.

use crate::model::glob::{Glob, common_literal_prefix};
use crate::model::object::Object;
use crate::model::passed_over::Reason;
use crate::model::request::Window;
use crate::model::settings::{Settings, TableRule};
use crate::model::shard::format_of;
use crate::model::table::{Named, TableError, TableNamer};

/// Every object that we write under the state prefix ends so; none is ever read, wherever it lies.
const BLOB_EXTENSION: &str = ".s3sync";

/// Names of directory buckets end so (S3 user guide, "Directory bucket naming rules"); they list only prefixes that end
/// in `/`.
const DIRECTORY_BUCKET_SUFFIX: &str = "--x-s3";

/// The selection of one spec.
pub struct Selection<'a> {
    settings: &'a Settings,
    window: Option<&'a Window>,
    namer: TableNamer,
    prefix: String,
    state_prefix: String,
}

impl<'a> Selection<'a> {
    /// The selection that `settings` describe.
    pub fn new(settings: &'a Settings) -> Result<Self, TableError> {
        Ok(Self {
            settings,
            window: None,
            namer: TableNamer::new(&settings.source.tables)?,
            prefix: listing_prefix(settings),
            state_prefix: format!("{}/", settings.state_prefix.trim_end_matches('/')),
        })
    }

    /// Of this selection, what lies in a window.
    pub fn within(self, window: Option<&'a Window>) -> Self {
        Self { window: window.filter(|window| !window.is_open()), ..self }
    }

    /// The window, where one is asked for.
    pub fn window(&self) -> Option<&Window> {
        self.window
    }

    /// See [`Window::starts_after`].
    pub fn starts_after(&self) -> Option<String> {
        self.window.and_then(Window::starts_after)
    }

    /// Whether this key, and so every later one, lies outside.
    pub fn ends_before(&self, key: &str) -> bool {
        self.window.is_some_and(|window| window.ends_before(key))
    }

    /// The longest prefix that everything selected has: what the server is asked for.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The one key that is selected, where the spec names one.
    pub fn only_key(&self) -> Option<&str> {
        match self.settings.source.include.as_slice() {
            [glob] => glob.literal(),
            _ => None,
        }
    }

    /// Whether the source is known to list its keys in no order that they show, and without a notion of "after".
    pub fn is_scattered(&self) -> bool {
        is_directory_bucket(self.settings)
    }

    /// Whether an object is selected.
    pub fn takes(&self, object: &Object) -> bool {
        self.passes_over(object).is_none()
    }

    /// Why an object is not selected; `None` when it is. What lies outside the window, and a key outside the prefix,
    /// which only a directory bucket lists, has no reason: nobody asked for it.
    pub fn passes_over(&self, object: &Object) -> Option<Option<Reason>> {
        let source = &self.settings.source;
        let key = object.key.as_str();
        if !key.starts_with(&source.prefix) || self.window.is_some_and(|window| !window.holds(object)) {
            return Some(None);
        }
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.is_match(key));
        let reason = if key.ends_with(BLOB_EXTENSION) || key.starts_with(&self.state_prefix) {
            Reason::State
        } else if object.size == 0 && key.ends_with('/') {
            Reason::DirectoryMarker
        } else if matches(&source.exclude) {
            Reason::Excluded
        } else if source.include.is_empty() && format_of(self.settings, key).is_none() {
            Reason::UnknownExtension
        } else if !source.include.is_empty() && !matches(&source.include) {
            Reason::NotIncluded
        } else if !source.table_include.is_empty() && matches!(self.table(key), Ok(None)) {
            Reason::OtherTable
        } else {
            return None;
        };
        Some(Some(reason))
    }

    /// The table of a key; `None` when `tables.include` leaves it out.
    pub fn table<'k>(&self, key: &'k str) -> Result<Option<Named<'k>>, TableError> {
        let named = self.namer.named(key)?;
        let globs = &self.settings.source.table_include;
        Ok((globs.is_empty() || globs.iter().any(|glob| glob.is_match(&named.table))).then_some(named))
    }

    /// A prefix of every key that could have given a table this source.
    pub fn prefix_of_source<'s>(&'s self, source: &'s str) -> &'s str {
        match self.settings.source.tables {
            TableRule::Prefix if source.len() > self.prefix.len() => source,
            _ => &self.prefix,
        }
    }
}

fn is_directory_bucket(settings: &Settings) -> bool {
    settings.source.bucket.ends_with(DIRECTORY_BUCKET_SUFFIX)
}

fn listing_prefix(settings: &Settings) -> String {
    let source = &settings.source;
    let common = common_literal_prefix(&source.include);
    let prefix = if common.starts_with(&source.prefix) { common } else { &source.prefix };
    if is_directory_bucket(settings) {
        return prefix[..prefix.rfind('/').map_or(0, |last| last + 1)].to_owned();
    }
    prefix.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::{object, settings};
    use crate::model::glob::Glob;

    fn with(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = settings();
        change(&mut settings);
        settings
    }

    fn globs(texts: &[&str]) -> Vec<Glob> {
        texts.iter().map(|text| Glob::new(text).unwrap()).collect()
    }

    #[test]
    fn the_longest_literal_prefix_is_pushed_down() {
        for (bucket, prefix, include, expected) in [
            ("raw", "", &[][..], ""),
            ("raw", "events/", &[], "events/"),
            ("raw", "", &["events/2024/*.csv", "events/2025/*.csv"], "events/202"),
            ("raw", "events/", &["events/a/**"], "events/a/"),
            ("raw", "events/", &["**/*.csv"], "events/"),
            ("raw", "events/", &["other/*.csv"], "events/"),
            ("raw--usw2-az1--x-s3", "ev", &[], ""),
            ("raw--usw2-az1--x-s3", "", &["events/2024*"], "events/"),
        ] {
            let settings = with(|settings| {
                settings.source.bucket = bucket.into();
                settings.source.prefix = prefix.into();
                settings.source.include = globs(include);
            });
            assert_eq!(Selection::new(&settings).unwrap().prefix(), expected, "{prefix} {include:?}");
        }
    }

    #[test]
    fn what_is_selected_and_why_the_rest_is_not() {
        use Reason::*;
        let csv = Some(crate::model::format::InputFormat::Csv);
        for (prefix, include, exclude, format, key, size, expected) in [
            ("", &[][..], &[][..], None, "a/b.csv.gz", 1, None),
            ("", &[], &[], None, "a/README.md", 1, Some(Some(UnknownExtension))),
            ("", &[], &["**/*.md"], None, "a/README.md", 1, Some(Some(Excluded))),
            ("", &[], &[], csv, "a/part-0000", 1, None),
            ("", &["**/*.txt"], &[], None, "a/b.txt", 1, None),
            ("", &["**/*.txt"], &[], None, "a/b.csv", 1, Some(Some(NotIncluded))),
            ("", &[], &["a/**"], None, "a/b.csv", 1, Some(Some(Excluded))),
            ("a/", &["**/*.csv"], &[], None, "b/b.csv", 1, Some(None)),
            ("", &["**"], &[], None, "a/dir/", 0, Some(Some(DirectoryMarker))),
            ("", &["**"], &[], None, "a/dir/", 1, None),
            ("", &["**"], &[], None, "a/plan-00.s3sync", 1, Some(Some(State))),
            ("", &["**"], &[], None, "_s3sync/a.csv", 1, Some(Some(State))),
            ("", &["**"], &[], None, "_s3sync.csv", 1, None),
        ] {
            let settings = with(|settings| {
                settings.source.prefix = prefix.into();
                settings.source.include = globs(include);
                settings.source.exclude = globs(exclude);
                settings.source.format = format;
            });
            let object = Object { size, ..object(key, "e") };
            let selection = Selection::new(&settings).unwrap();
            assert_eq!(selection.passes_over(&object), expected, "{key} in {prefix} {include:?} but {exclude:?}");
            assert_eq!(selection.takes(&object), expected.is_none());
        }
    }

    #[test]
    fn tables_may_be_left_out() {
        let settings = with(|settings| settings.source.table_include = globs(&["order*"]));
        let selection = Selection::new(&settings).unwrap();
        assert_eq!(selection.table("orders/1.csv").unwrap().unwrap().table, "orders");
        assert_eq!(selection.table("users/1.csv").unwrap(), None);
        assert_eq!(selection.passes_over(&object("users/1.csv", "e")), Some(Some(Reason::OtherTable)));
    }
}
