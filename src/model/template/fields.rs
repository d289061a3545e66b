//! Keys from a template.

use jiff::Timestamp;

use super::{Piece, Placeholder, Template};
use crate::model::format::{Compression, InputFormat, OutputFormat};
use crate::model::identity::FileIdentity;

/// What the placeholders of one file stand for.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// The table's name.
    pub table: &'a str,
    /// Name of the resource.
    pub sync: &'a str,
    /// The run's id.
    pub run: &'a str,
    /// Run and epoch, see [`crate::model::plan::load_id`].
    pub load_id: &'a str,
    /// The plan's time.
    pub planned_at: Timestamp,
    /// The epoch.
    pub epoch: u64,
    /// The shard.
    pub shard: u32,
    /// Which file of this shard, table and partition, from 0.
    pub seq: u64,
    /// The extension with compression, see [`extension`].
    pub extension: &'a str,
    /// Where UUID and file_id come from.
    pub identity: &'a FileIdentity,
    /// Key of the input object; empty unless [`Template::per_source`].
    pub source_key: &'a str,
    /// The hive directories without a `/` at the end; empty without partitions.
    pub partition: &'a str,
}

/// What FORMAT and ext stand for: `parquet` whatever its codec, `csv.gz`, `jsonl.zst`.
pub fn extension(format: OutputFormat, compression: Compression) -> String {
    let row = format.traits();
    format!("{}{}", row.name, if row.compressed_as_a_whole { compression.extension() } else { "" })
}

/// Directories of a key, without the last `/`: `a/b/c.csv` gives `a/b`.
pub(super) fn source_dir(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// Name of a key without format and compression extensions: `a/b.csv.gz` gives `b`.
pub(super) fn source_stem(key: &str) -> &str {
    let name = key.rsplit('/').next().unwrap_or(key);
    let bare = Compression::strip_extension(name).0;
    match bare.rsplit_once('.') {
        // Only an extension that names a format is one: `v1.2` keeps its number.
        Some((stem, _)) if InputFormat::of_key(bare).is_some() => stem,
        _ => bare,
    }
}

impl Template {
    /// The key of one file. An empty PARTITION or SOURCE_DIR takes the `/` after it along. Keys may come out longer
    /// than the 1,024 bytes that S3 allows: the caller checks.
    pub fn render(&self, fields: &Fields<'_>) -> String {
        let mut key = String::with_capacity(self.as_str().len() + 64);
        let mut vanished = false;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => key.push_str(if vanished { text.strip_prefix('/').unwrap_or(text) } else { text }),
                Piece::Placeholder(placeholder, _) => placeholder.render(fields, &mut key),
            }
            vanished = matches!(piece, Piece::Placeholder(..)) && (key.is_empty() || key.ends_with('/'));
        }
        if !self.places_partition() && !fields.partition.is_empty() {
            let name = key.rfind('/').map_or(0, |slash| slash + 1);
            key.insert(name, '/');
            key.insert_str(name, fields.partition);
        }
        key
    }
}

impl Placeholder {
    fn render(self, fields: &Fields<'_>, key: &mut String) {
        match self {
            Placeholder::Table => key.push_str(fields.table),
            Placeholder::TableHyphen => key.push_str(&fields.table.replace('_', "-")),
            Placeholder::SyncId => key.push_str(fields.run),
            Placeholder::SchemaName => key.push_str(fields.sync),
            Placeholder::LoadId => key.push_str(fields.load_id),
            Placeholder::Extension => key.push_str(fields.extension),
            Placeholder::Uuid => key.push_str(&fields.identity.uuid().to_string()),
            Placeholder::FileId => key.push_str(&fields.identity.file_id()),
            Placeholder::SourceDir => key.push_str(source_dir(fields.source_key)),
            Placeholder::SourceStem => key.push_str(source_stem(fields.source_key)),
            Placeholder::Epoch => key.push_str(&fields.epoch.to_string()),
            Placeholder::Shard => key.push_str(&format!("{:05}", fields.shard)),
            Placeholder::Seq => key.push_str(&format!("{:05}", fields.seq)),
            Placeholder::Partition => key.push_str(fields.partition),
            Placeholder::Time(token) => key.push_str(&token.render(fields.planned_at)),
        }
    }
}
