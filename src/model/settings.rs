//! A validated spec: what a run works by. Everything here is frozen into the plan, so it serialises; nothing here is
//! secret. How to reach the two stores (endpoints, credentials) is [`super::connection`], which is never frozen.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::format::{Compression, CompressionRule, InputFormat, OutputFormat};
use super::glob::Glob;
use super::template::Template;
use super::write_mode::WriteMode;

/// Namespace and name of the resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SyncId {
    /// `metadata.namespace`, `default` where the manifest names none.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl std::fmt::Display for SyncId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One sync, validated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Whose settings these are.
    pub id: SyncId,
    /// What is read.
    pub source: SourceSettings,
    /// What the rows look like.
    pub schema: SchemaSettings,
    /// What is written.
    pub destination: DestinationSettings,
    /// Whether and how a ledger is kept.
    pub incremental: IncrementalSettings,
    /// What happens to bad input.
    pub errors: ErrorSettings,
    /// What it means that no object is selected. Not among `errors`, by which Replace tells whether it would write the
    /// same again.
    #[serde(default, skip_serializing_if = "OnNothingFound::is_default")]
    pub on_nothing_found: OnNothingFound,
    /// How much one epoch may hold.
    pub limits: LimitSettings,
    /// Where blobs lie.
    pub state_prefix: String,
    /// How the work is spread.
    pub worker: WorkerSettings,
}

/// `spec.source`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceSettings {
    /// Endpoint as identity text (part of `specHash`): the URL, `file:DIR`, or empty for AWS.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// Literal prefix; empty for the whole bucket.
    pub prefix: String,
    /// Globs over the whole key; empty: every object of a known format.
    pub include: Vec<Glob>,
    /// Globs over the whole key, stronger than `include`.
    pub exclude: Vec<Glob>,
    /// A fixed format; `None`: by each key's extension.
    pub format: Option<InputFormat>,
    /// How the compression is found.
    pub compression: CompressionRule,
    /// Options of csv and tsv inputs.
    pub csv: CsvReadSettings,
    /// How a key names its table.
    pub tables: TableRule,
    /// Globs over table names; empty: all.
    pub table_include: Vec<Glob>,
}

/// `spec.source.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CsvReadSettings {
    /// `None`: comma for csv, tab for tsv.
    pub delimiter: Option<u8>,
    /// Whether the first record names the columns; otherwise they are `column_1` and so on.
    pub header: bool,
    /// `None`: no quoting at all, so a newline always ends a record.
    pub quote: Option<u8>,
    /// `None`: a doubled quote stands for one.
    pub escape: Option<u8>,
    /// Records that begin with this byte are skipped.
    pub comment: Option<u8>,
    /// Unquoted cells that mean null.
    pub null_values: Vec<String>,
    /// The text's encoding.
    pub encoding: Encoding,
    /// Lines to skip before the header.
    pub skip_rows: u64,
}

impl Default for CsvReadSettings {
    /// What a spec that says nothing of it means.
    fn default() -> Self {
        Self {
            delimiter: None,
            header: true,
            quote: Some(b'"'),
            escape: None,
            comment: None,
            null_values: vec![String::new()],
            encoding: Encoding::Utf8,
            skip_rows: 0,
        }
    }
}

/// Encodings of csv and tsv text. A byte order mark wins over `utf-16`'s default (big endian, RFC 2781 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    /// `utf-8`
    #[serde(rename = "utf-8")]
    Utf8,
    /// `utf-16`
    #[serde(rename = "utf-16")]
    Utf16,
    /// `utf-16le`
    #[serde(rename = "utf-16le")]
    Utf16Le,
    /// `utf-16be`
    #[serde(rename = "utf-16be")]
    Utf16Be,
    /// `latin-1`
    #[serde(rename = "latin-1")]
    Latin1,
}

/// `spec.source.tables`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TableRule {
    /// The key's directories joined by `_`; a root object's stem.
    Prefix,
    /// One table (the name is already sanitised).
    Fixed {
        /// The table.
        name: String,
    },
    /// The group `table` of a regular expression over the whole key.
    Pattern {
        /// The expression's text; checked when the spec was validated.
        pattern: String,
    },
}

/// `spec.schema`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemaSettings {
    /// Where types come from.
    pub mode: SchemaMode,
    /// Casts and renames; with `Declared` the whole schema.
    pub columns: Vec<ColumnRule>,
    /// Input columns left out.
    pub drop: Vec<String>,
    /// What may change between epochs.
    pub evolution: Evolution,
}

/// `spec.schema.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchemaMode {
    /// Types from the data.
    Infer,
    /// Every column text.
    Strings,
    /// `columns`, exactly.
    Declared,
}

/// One entry of `spec.schema.columns`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnRule {
    /// The output column.
    pub name: String,
    /// The type it is cast to; `None` (never with `Declared`): as inferred.
    pub data_type: Option<arrow_schema::DataType>,
    /// The input column, where it has another name.
    pub from: Option<String>,
}

/// `spec.schema.evolution`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evolution {
    /// New columns are added and numbers widened; anything else fails.
    AddColumns,
    /// Any change fails.
    Fail,
    /// As AddColumns, and what would fail goes into `_rescued_data`.
    Rescue,
}

/// `spec.destination`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DestinationSettings {
    /// Endpoint as identity text, see [`SourceSettings::endpoint`].
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// The key of each output file.
    pub template: Template,
    /// What is written.
    pub format: OutputFormat,
    /// Of the whole file; always `None` for parquet.
    pub compression: Compression,
    /// Append to or replace what earlier epochs published.
    pub write_mode: WriteMode,
    /// Whether Replace may publish nothing at all.
    pub allow_empty: bool,
    /// Hive partitions, outermost first.
    pub partition_by: Vec<PartitionRule>,
    /// An output file closes at this many rows; `None`: no limit.
    #[serde(rename = "batch_rows", with = "zero_is_none")]
    pub file_rows_max: Option<NonZeroU64>,
    /// An output file closes at about this many encoded bytes; `None`: no limit.
    #[serde(rename = "batch_bytes", with = "zero_is_none")]
    pub target_file_bytes: Option<NonZeroU64>,
    /// Options of csv and tsv output.
    pub csv: CsvWriteSettings,
    /// Options of parquet output.
    pub parquet: ParquetSettings,
    /// What is set on every output object.
    pub object: ObjectAttributes,
    /// Whether `_s3sync_key`, `_s3sync_last_modified` and `_s3sync_row` are added.
    pub lineage: bool,
}

/// How plans write a limit: 0 where there is none.
mod zero_is_none {
    use std::num::NonZeroU64;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(limit: &Option<NonZeroU64>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(limit.map_or(0, NonZeroU64::get))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NonZeroU64>, D::Error> {
        u64::deserialize(from).map(NonZeroU64::new)
    }
}

/// One entry of `spec.destination.partitionBy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRule {
    /// The output column it is taken from.
    pub column: String,
    /// `None`: the value itself, and the column leaves the file.
    pub transform: Option<PartitionTransform>,
    /// The name in `name=value/`.
    pub name: String,
}

/// Calendar parts, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartitionTransform {
    /// `2024`
    Year,
    /// `1`
    Month,
    /// `31`
    Day,
    /// `7`
    Hour,
    /// `2024-01-31`
    Date,
}

/// `spec.destination.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvWriteSettings {
    /// `None`: comma for csv, tab for tsv.
    pub delimiter: Option<u8>,
    /// Whether each file begins with the columns' names.
    pub header: bool,
    /// `None`: nothing is quoted, and a value that would need it is an error.
    pub quote: Option<u8>,
    /// What a null is written as, unquoted. A value equal to it is quoted.
    pub null_value: String,
}

/// `spec.destination.parquet`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParquetSettings {
    /// The codec of pages.
    pub codec: ParquetCodec,
    /// A row group closes at this many rows.
    pub row_group_rows: u64,
    /// A row group closes at this many encoded bytes.
    pub row_group_bytes: u64,
    /// The level of zstd or gzip.
    pub level: i32,
}

impl ParquetSettings {
    /// The level of whoever names none: zstd's own default.
    pub const LEVEL_DEFAULT: i32 = 3;
}

/// Codecs of parquet pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParquetCodec {
    /// Zstandard.
    Zstd,
    /// Snappy.
    Snappy,
    /// gzip.
    Gzip,
    /// Uncompressed.
    None,
}

/// `spec.destination.object`: attributes of every output object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ObjectAttributes {
    /// A canned ACL.
    pub acl: Option<String>,
    /// The storage class.
    pub storage_class: Option<String>,
    /// `AES256` or `aws:kms` and its relatives.
    pub sse: Option<String>,
    /// The KMS key.
    pub kms_key_id: Option<String>,
    /// Object tags, sorted by name.
    pub tags: Vec<(String, String)>,
    /// User metadata, sorted by name.
    pub metadata: Vec<(String, String)>,
}

/// `spec.incremental`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncrementalSettings {
    /// Whether a ledger outlives the run.
    pub enabled: bool,
    /// What an overwritten object means.
    pub on_overwrite: OnOverwrite,
}

/// `spec.incremental.onOverwrite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnOverwrite {
    /// The new version is read; rows of the old one stay.
    Reprocess,
    /// The new version is taken into the ledger unread.
    Ignore,
    /// The run fails with the key.
    Fail,
}

/// `spec.errors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorSettings {
    /// What an unreadable object means.
    pub on_bad_object: OnBadObject,
    /// Bad records allowed in one epoch.
    pub max_bad_records: u64,
    /// Prefix in the destination bucket for them; present when `max_bad_records` is above 0.
    pub dead_letter_path: Option<String>,
}

/// `spec.errors.onBadObject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnBadObject {
    /// The epoch fails.
    Fail,
    /// The object is named in the ledger and left out until its etag changes.
    Quarantine,
}

/// `spec.errors.onNothingFound`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnNothingFound {
    /// The run succeeds, and says so.
    #[default]
    Succeed,
    /// The run fails.
    Fail,
}

impl OnNothingFound {
    /// Whether it is what earlier releases did, whose plans say nothing of it.
    fn is_default(&self) -> bool {
        *self == OnNothingFound::default()
    }
}

/// `spec.limits`: an epoch closes at the first reached; at least one object is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimitSettings {
    /// Objects in one epoch.
    pub objects_per_commit: u64,
    /// Input bytes in one epoch.
    pub bytes_per_commit: u64,
}

/// The part of `spec.worker` that the pipeline sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerSettings {
    /// Workers of a run.
    pub replicas: u32,
    /// Objects read at once by one worker; `None`: from cores and memory; `Some(u32::MAX)`: no cap but memory.
    pub concurrency: Option<u32>,
    /// Rows of one Arrow record batch.
    pub rows_per_batch: usize,
    /// Scratch bytes for spilling.
    pub scratch_bytes: u64,
}
