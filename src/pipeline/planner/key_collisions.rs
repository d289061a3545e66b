//! Objects whose outputs would have one key: with a path made of the source's key alone, `a.csv` and `a.json` both
//! become `a.parquet`.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::model::identity::{FileIdentity, FilePurpose};
use crate::model::settings::Settings;
use crate::model::template::{Fields, extension};
use crate::pipeline::error::{RunError, RunErrorKind};

/// Objects that are compared. A collision is rarely alone, and memory must not grow with the objects: these take some
/// 20 MB.
const OBJECTS_MAX: usize = 100_000;

/// The keys of the outputs of the objects seen so far. A run looks at the files that it has made instead, some of which
/// an empty object does not give.
pub(super) struct KeyCollisions<'a> {
    settings: &'a Settings,
    extension: String,
    /// Whether keys follow from the sources alone: else they are unique anyway, or depend on partitions or shards.
    of_sources: bool,
    /// Output key to object.
    objects: HashMap<String, String>,
    /// The first two objects whose outputs would have one key.
    collision: Option<(String, String)>,
}

impl<'a> KeyCollisions<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        let to = &settings.destination;
        let template = &to.template;
        let one_key = template.per_source() && !template.is_unique() && !template.is_numbered();
        let of_sources = one_key && to.partition_by.is_empty();
        let extension = extension(to.format, to.compression);
        Self { settings, extension, of_sources, objects: HashMap::new(), collision: None }
    }

    /// Notes an object that would be read.
    pub fn add(&mut self, table: &str, key: &str) {
        if !self.of_sources || self.collision.is_some() || self.objects.len() == OBJECTS_MAX {
            return;
        }
        // What is the same for every file of a run cannot tell two apart.
        let output = self.settings.destination.template.render(&Fields {
            table,
            sync: &self.settings.id.name,
            run: "",
            load_id: "",
            planned_at: Timestamp::UNIX_EPOCH,
            epoch: 0,
            shard: 0,
            seq: 0,
            extension: &self.extension,
            identity: &FileIdentity::new("", FilePurpose::Data, 0, table, "", 0),
            source_key: key,
            partition: "",
        });
        self.collision = self.objects.insert(output, key.to_owned()).map(|first| (first, key.to_owned()));
    }

    /// Two output files of one key are refused, as a run refuses them once it has made them.
    pub fn refuse(&self) -> Result<(), RunError> {
        let Some((first, second)) = &self.collision else { return Ok(()) };
        let Settings { id, destination, .. } = self.settings;
        let advice = destination.template.would_tell_apart();
        let message = format!(
            "{id}: the outputs of {first} and {second} would have one key; put {advice} into destination.path, or leave one of them out \
             with source.exclude"
        );
        Err(RunError::new(RunErrorKind::InvalidSpec, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::settings;
    use crate::model::template::Template;

    #[test]
    fn outputs_of_one_key_are_found() {
        let check = |template: &str, keys: [&str; 2], expected: Option<&str>| {
            let mut settings = settings();
            settings.destination.template = Template::parse(template).unwrap();
            let mut outputs = KeyCollisions::new(&settings);
            keys.iter().for_each(|key| outputs.add("t", key));
            let found = outputs.refuse().err().map(|error| error.message);
            assert_eq!(found.is_some(), expected.is_some(), "{template}: {found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{template}");
        };
        check("{{SOURCE_STEM}}.{{FORMAT}}", ["a/x.csv", "b/x.csv"], Some("put {{UUID}} or {{SOURCE_DIR}} into"));
        check("{{SOURCE_DIR}}/{{SOURCE_STEM}}.{{FORMAT}}", ["a/x.csv", "a/x.json"], Some("put {{UUID}} into"));
        check("{{SOURCE_DIR}}/{{SOURCE_STEM}}.{{FORMAT}}", ["a/x.csv", "b/x.csv"], None);
        check("{{SOURCE_STEM}}-{{UUID}}.{{FORMAT}}", ["a/x.csv", "b/x.csv"], None);
        check("{{TABLE}}.{{FORMAT}}", ["a/x.csv", "a/y.csv"], None);
    }
}
