//! `spec.destination`: what is written.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::connection::{CONNECTION_REF_MESSAGE, CONNECTION_REF_RULE, ConnectionSpec};
use super::yes;
use crate::api::scalar::{Size, wire_enum};
use crate::model::{format, settings, write_mode};

wire_enum! {
    /// A format that is written.
    OutputFormat -> format::OutputFormat {
        /// Comma separated values.
        Csv = "csv",
        /// Tab separated values.
        Tsv = "tsv",
        /// One array of objects.
        Json = "json",
        /// One object a line.
        Jsonl = "jsonl",
        /// Apache Parquet.
        Parquet = "parquet",
    }
}

wire_enum! {
    /// How output is compressed.
    OutputCompression {
        /// Zstandard.
        Zstd = "zstd",
        /// Snappy, inside parquet.
        Snappy = "snappy",
        /// gzip.
        Gzip = "gzip",
        /// Not compressed.
        None = "none",
    }
}

wire_enum! {
    /// What a run does with what earlier runs wrote.
    WriteMode -> write_mode::WriteMode {
        /// Adds files.
        Append = "Append",
        /// Replaces them.
        Replace = "Replace",
    }
}

wire_enum! {
    /// Calendar parts of a date or timestamp, in UTC.
    PartitionTransform -> settings::PartitionTransform {
        /// 2024
        Year = "Year",
        /// 1
        Month = "Month",
        /// 31
        Day = "Day",
        /// 7
        Hour = "Hour",
        /// 2024-01-31
        Date = "Date",
    }
}

wire_enum! {
    /// Server-side encryption.
    Sse {
        /// SSE-S3.
        Aes256 = "AES256",
        /// SSE-KMS.
        Kms = "aws:kms",
        /// Dual-layer SSE-KMS.
        KmsDsse = "aws:kms:dsse",
    }
}

/// What is written.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.uri) || has(self.bucket)").message("bucket or uri is required"))]
#[x_kube(validation = Rule::new("!has(self.uri) || !has(self.bucket)").message("uri excludes bucket: the uri names the bucket").field_path(".bucket"))]
#[x_kube(validation = Rule::new("!has(self.uri) || !has(self.path)").message("uri excludes path: the uri names the key").field_path(".path"))]
#[x_kube(validation = Rule::new("has(self.format) || has(self.uri)").message("format is required, unless the uri's extension gives it"))]
#[x_kube(validation = Rule::new("!has(self.format) || !has(self.compression) || self.format == 'parquet' || self.compression != 'snappy'").message("compression snappy is for parquet only; text takes none, gzip or zstd").field_path(".compression"))]
#[x_kube(validation = Rule::new("self.partitionBy.all(p, self.partitionBy.exists_one(q, (has(p.name) ? p.name : p.column + (has(p.transform) ? '_' + p.transform : '')).lowerAscii() == (has(q.name) ? q.name : q.column + (has(q.transform) ? '_' + q.transform : '')).lowerAscii()))").message("two partitions have the same name; give one of them another name").field_path(".partitionBy"))]
#[x_kube(validation = Rule::new(CONNECTION_REF_RULE).message(CONNECTION_REF_MESSAGE).field_path(".connectionRef"))]
#[x_kube(validation = Rule::new("!has(self.secretRef) || !has(self.profile)").message("secretRef excludes profile").field_path(".profile"))]
#[x_kube(validation = Rule::new("!self.anonymous || (!has(self.secretRef) && !has(self.profile) && !has(self.roleArn))").message("anonymous excludes secretRef, profile and roleArn").field_path(".anonymous"))]
#[x_kube(validation = Rule::new("has(self.roleArn) || (!has(self.roleSessionName) && !has(self.externalId))").message("roleSessionName and externalId need roleArn"))]
pub struct DestinationSpec {
    /// Bucket and key in one: s3://bucket/orders/ writes under the prefix, s3://bucket/orders.csv writes that key (with
    /// writeMode Replace). Placeholders are allowed as in path. Instead of bucket and path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1280), regex(pattern = "^s3://[^/]+"))]
    pub uri: Option<String>,
    /// The bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub bucket: Option<String>,
    /// The template of output keys, with placeholders such as {{TABLE}}, {{UUID}}, {{FORMAT}}, {{YEAR}} or
    /// {table_name}, {file_id}, {ext}. One that ends in / is completed by {{UUID}}.{{FORMAT}}. Absent:
    /// {{TABLE}}/{{UUID}}.{{FORMAT}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub path: Option<String>,
    /// What is written. Absent: by the uri's extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<OutputFormat>,
    /// parquet: zstd, snappy, gzip or none, inside the file; text: none, gzip or zstd, around it. Absent: zstd for
    /// parquet, and for text what the uri's extension says, else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<OutputCompression>,
    /// Append: new objects become new files. Replace: every run reads everything and replaces what the sync wrote
    /// before.
    #[serde(default = "write_mode")]
    pub write_mode: WriteMode,
    /// Lets Replace publish nothing at all when the source is empty.
    #[serde(default)]
    pub allow_empty: bool,
    /// Hive partitions, outermost first: country=DE/month=1/ between the path's directory and its file name.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub partition_by: Vec<PartitionSpec>,
    /// When an output file is closed and the next one begun.
    #[serde(default)]
    pub batch: BatchSpec,
    /// Options of csv and tsv output.
    #[serde(default)]
    pub csv: CsvWriteSpec,
    /// Options of parquet output.
    #[serde(default)]
    pub parquet: ParquetSpec,
    /// What is set on every output object.
    #[serde(default)]
    pub object: ObjectSpec,
    /// Adds the columns _s3sync_key, _s3sync_last_modified and _s3sync_row: which object each row came from, and its
    /// ordinal there from 1.
    #[serde(default)]
    pub lineage: bool,
    /// How the destination is reached.
    #[serde(flatten)]
    pub connection: ConnectionSpec,
}

fn write_mode() -> WriteMode {
    WriteMode::Append
}

/// One hive partition.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionSpec {
    /// The output column. Without transform its value becomes the partition, and the column leaves the file.
    #[schemars(length(min = 1, max = 255))]
    pub column: String,
    /// A calendar part of a date or timestamp column, in UTC: Year, Month, Day and Hour are numbers without leading
    /// zeros, Date is 2024-01-31. The column stays in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<PartitionTransform>,
    /// The name before the =. Absent: the column's, with _year and so on where there is a transform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = "^[^/=]+$"))]
    pub name: Option<String>,
}

/// When an output file is closed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchSpec {
    /// Closes a file at this many rows. 0: no limit.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub rows: i64,
    /// Closes a file at this many bytes as written, compression included. 0: no limit.
    #[serde(default = "mib_128")]
    pub bytes: Size,
}

fn mib_128() -> Size {
    Size::new("128Mi")
}

impl Default for BatchSpec {
    fn default() -> Self {
        BatchSpec { rows: 0, bytes: mib_128() }
    }
}

/// Options of csv and tsv output.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.delimiter) || self.quote != self.delimiter").message("delimiter and quote must differ").field_path(".delimiter"))]
pub struct CsvWriteSpec {
    /// One ASCII character, or \t. Absent: comma, and tab for tsv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2), regex(pattern = r"^(\\t|[\x01-\x09\x0B\x0C\x0E-\x7F])$"))]
    pub delimiter: Option<String>,
    /// Whether each file begins with the columns' names.
    #[serde(default = "yes")]
    pub header: bool,
    /// The character around fields that hold delimiters or newlines. Empty: nothing is quoted, and a value that would
    /// need it is an error.
    #[serde(default = "quote")]
    #[schemars(length(max = 1), regex(pattern = r"^[\x01-\x09\x0B\x0C\x0E-\x7F]?$"))]
    pub quote: String,
    /// What a null is written as.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub null_value: String,
}

fn quote() -> String {
    "\"".to_owned()
}

impl Default for CsvWriteSpec {
    fn default() -> Self {
        CsvWriteSpec { delimiter: None, header: true, quote: quote(), null_value: String::new() }
    }
}

/// Options of parquet output.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParquetSpec {
    /// Closes a row group at this many rows.
    #[serde(default = "row_group_rows")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub row_group_rows: i64,
    /// Closes a row group at this many bytes as written, or at 32 MiB of memory.
    #[serde(default = "mib_128")]
    pub row_group_bytes: Size,
    /// The level of zstd (1 to 22) or gzip (1 to 9).
    #[serde(default = "level")]
    #[schemars(range(min = 1, max = 22))]
    pub level: i32,
}

fn row_group_rows() -> i64 {
    1 << 20
}

fn level() -> i32 {
    settings::ParquetSettings::LEVEL_DEFAULT
}

impl Default for ParquetSpec {
    fn default() -> Self {
        ParquetSpec { row_group_rows: row_group_rows(), row_group_bytes: mib_128(), level: level() }
    }
}

/// What is set on every output object.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.kmsKeyId) || (has(self.sse) && self.sse != 'AES256')").message("kmsKeyId needs sse: aws:kms or aws:kms:dsse").field_path(".kmsKeyId"))]
pub struct ObjectSpec {
    /// A canned ACL such as bucket-owner-full-control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z-]+$"))]
    pub acl: Option<String>,
    /// The storage class such as STANDARD_IA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub storage_class: Option<String>,
    /// Server-side encryption: AES256, aws:kms or aws:kms:dsse. Absent: as the bucket says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sse: Option<Sse>,
    /// The KMS key's id or ARN. Absent with aws:kms: the account's default key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,
    /// Tags, at most 10.
    #[serde(default)]
    #[schemars(schema_with = "tags")]
    pub tags: BTreeMap<String, String>,
    /// User metadata. Names are lower case, without x-amz-meta-; s3sync-id is s3sync's own.
    #[serde(default)]
    #[schemars(schema_with = "metadata")]
    pub metadata: BTreeMap<String, String>,
}

/// S3 allows 10 tags of 256 characters (the key 128):
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>.
fn tags(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "maxProperties": 10, "additionalProperties": { "type": "string", "maxLength": 256 } })
}

/// S3 allows 2 KB of user metadata in all: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>.
fn metadata(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "maxProperties": 64, "additionalProperties": { "type": "string", "maxLength": 2048 } })
}
