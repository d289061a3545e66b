//! Objects whose outputs would have one key: with a path made of the source's key alone, `a.csv` and `a.json` both
//! become `a.parquet`.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::model::identity::{FileIdentity, FilePurpose};
use crate::model::settings::Settings;
use crate::model::template::{Fields, extension};

/// Objects that are compared. A clash is rarely alone, and a look's memory must not grow with the objects: these take
/// some 20 MB.
const OBJECTS_MAX: usize = 100_000;

/// The outputs of the objects seen so far.
pub(super) struct Outputs<'a> {
    settings: &'a Settings,
    extension: String,
    /// Output key to object.
    objects: HashMap<String, String>,
}

impl<'a> Outputs<'a> {
    /// `None` where keys do not follow from the sources alone: they are unique anyway, or depend on partitions or
    /// shards.
    pub fn of(settings: &'a Settings) -> Option<Self> {
        let to = &settings.destination;
        let numbered = ["{{SHARD}}", "{{SEQ}}"].iter().any(|number| to.template.as_str().contains(number));
        if !to.template.per_source() || to.template.is_unique() || numbered || !to.partition_by.is_empty() {
            return None;
        }
        Some(Self { settings, extension: extension(to.format, to.compression), objects: HashMap::new() })
    }

    /// Notes an object that would be read; says so when its output has the key of another's.
    pub fn add(&mut self, table: &str, key: &str) -> Option<String> {
        if self.objects.len() == OBJECTS_MAX {
            return None;
        }
        let template = &self.settings.destination.template;
        // What is the same for every file of a run cannot tell two apart.
        let output = template.render(&Fields {
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
        let first = self.objects.insert(output, key.to_owned())?;
        let more = if template.as_str().contains("{{SOURCE_DIR}}") { "" } else { " or {{SOURCE_DIR}}" };
        Some(format!(
            "the outputs of {first} and {key} would have one key; put {{{{UUID}}}}{more} into destination.path, or leave one of them out with \
             source.exclude"
        ))
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
            let found =
                Outputs::of(&settings).and_then(|mut outputs| keys.iter().find_map(|key| outputs.add("t", key)));
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
