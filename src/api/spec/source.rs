//! `spec.source`: what is read, and how a key names its table.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::connection::{CONNECTION_REF_MESSAGE, CONNECTION_REF_RULE, ConnectionSpec};
use super::yes;
use crate::api::scalar::wire_enum;
use crate::model::{format, settings};

wire_enum! {
    /// A format that is read.
    InputFormat -> format::InputFormat {
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
        /// Apache Avro.
        Avro = "avro",
    }
}

wire_enum! {
    /// How an input's compression is found.
    InputCompression {
        /// By extension, checked by the first bytes.
        Auto = "auto",
        /// Not compressed.
        None = "none",
        /// gzip.
        Gzip = "gzip",
        /// Zstandard.
        Zstd = "zstd",
    }
}

wire_enum! {
    /// Text encodings.
    Encoding -> settings::Encoding {
        /// UTF-8.
        Utf8 = "utf-8",
        /// UTF-16 by its byte order mark.
        Utf16 = "utf-16",
        /// UTF-16, little endian.
        Utf16Le = "utf-16le",
        /// UTF-16, big endian.
        Utf16Be = "utf-16be",
        /// ISO 8859-1.
        Latin1 = "latin-1",
    }
}

wire_enum! {
    /// How a key names its table.
    TableSource {
        /// By its directories.
        Prefix = "Prefix",
        /// One table for all.
        Fixed = "Fixed",
        /// By a regular expression.
        Pattern = "Pattern",
    }
}

/// What is read.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.uri) || has(self.bucket)").message("bucket or uri is required"))]
#[x_kube(validation = Rule::new("!has(self.uri) || !has(self.bucket)").message("uri excludes bucket: the uri names the bucket").field_path(".bucket"))]
#[x_kube(validation = Rule::new("!has(self.uri) || !has(self.prefix)").message("uri excludes prefix: the uri names the keys").field_path(".prefix"))]
#[x_kube(validation = Rule::new(CONNECTION_REF_RULE).message(CONNECTION_REF_MESSAGE).field_path(".connectionRef"))]
#[x_kube(validation = Rule::new("!has(self.secretRef) || !has(self.profile)").message("secretRef excludes profile").field_path(".profile"))]
#[x_kube(validation = Rule::new("!self.anonymous || (!has(self.secretRef) && !has(self.profile) && !has(self.roleArn))").message("anonymous excludes secretRef, profile and roleArn").field_path(".anonymous"))]
#[x_kube(validation = Rule::new("has(self.roleArn) || (!has(self.roleSessionName) && !has(self.externalId))").message("roleSessionName and externalId need roleArn"))]
pub struct SourceSpec {
    /// Bucket and keys in one: s3://bucket/prefix/ reads everything under the prefix, s3://bucket/key.csv exactly one
    /// object, s3://bucket/logs/**/*.csv.gz what the glob matches. Instead of bucket and prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1280), regex(pattern = "^s3://[^/]+"))]
    pub uri: Option<String>,
    /// The bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub bucket: Option<String>,
    /// Reads only keys that begin with this. Absent: the whole bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub prefix: Option<String>,
    /// Globs over the whole key; an object is read when one matches. * and ? stop at /, **/ matches any number of
    /// segments, [a-z] and {a,b} are alternatives. Absent: every object of a known format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 1024)))]
    pub include: Option<Vec<String>>,
    /// Globs over the whole key; an object is not read when one matches, whatever include says.
    #[serde(default)]
    #[schemars(length(max = 100), inner(length(min = 1, max = 1024)))]
    pub exclude: Vec<String>,
    /// The objects' format. Absent: by each key's extension (.csv, .tsv, .json, .jsonl, .ndjson, each also with .gz or
    /// .zst, .parquet, .avro).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<InputFormat>,
    /// How the objects are compressed. auto goes by the extension, and checks the first bytes.
    #[serde(default = "compression")]
    pub compression: InputCompression,
    /// Options of csv and tsv inputs.
    #[serde(default)]
    pub csv: CsvReadSpec,
    /// How a key names its table.
    #[serde(default)]
    pub tables: TablesSpec,
    /// How the source is reached.
    #[serde(flatten)]
    pub connection: ConnectionSpec,
}

fn compression() -> InputCompression {
    InputCompression::Auto
}

/// Options of csv and tsv inputs.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.delimiter) || self.quote != self.delimiter").message("delimiter and quote must differ").field_path(".delimiter"))]
#[x_kube(validation = Rule::new("!has(self.comment) || (self.comment != self.quote && (!has(self.delimiter) || self.comment != self.delimiter))").message("comment must differ from delimiter and quote").field_path(".comment"))]
pub struct CsvReadSpec {
    /// One ASCII character, or \t. Absent: comma, and tab for tsv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2), regex(pattern = r"^(\\t|[\x01-\x09\x0B\x0C\x0E-\x7F])$"))]
    pub delimiter: Option<String>,
    /// Whether the first record names the columns. Without, they are column_1, column_2 and so on.
    #[serde(default = "yes")]
    pub header: bool,
    /// The character around fields that hold delimiters or newlines. Empty: no quoting, so a newline always ends a
    /// record.
    #[serde(default = "quote")]
    #[schemars(length(max = 1), regex(pattern = r"^[\x01-\x09\x0B\x0C\x0E-\x7F]?$"))]
    pub quote: String,
    /// The character that takes the next one literally inside a quoted field. Absent: a doubled quote stands for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1), regex(pattern = r"^[\x01-\x09\x0B\x0C\x0E-\x7F]$"))]
    pub escape: Option<String>,
    /// Records that begin with this character are skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1), regex(pattern = r"^[\x01-\x09\x0B\x0C\x0E-\x7F]$"))]
    pub comment: Option<String>,
    /// Unquoted cells that mean null.
    #[serde(default = "null_values")]
    #[schemars(length(max = 64), inner(length(max = 256)))]
    pub null_values: Vec<String>,
    /// The text's encoding. A byte order mark decides for utf-16.
    #[serde(default = "encoding")]
    pub encoding: Encoding,
    /// Lines to skip before the header.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub skip_rows: i64,
}

fn quote() -> String {
    "\"".to_owned()
}

fn null_values() -> Vec<String> {
    vec![String::new()]
}

fn encoding() -> Encoding {
    Encoding::Utf8
}

impl Default for CsvReadSpec {
    fn default() -> Self {
        CsvReadSpec {
            delimiter: None,
            header: true,
            quote: quote(),
            escape: None,
            comment: None,
            null_values: null_values(),
            encoding: encoding(),
            skip_rows: 0,
        }
    }
}

/// How a key names its table.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.from == 'Fixed') == has(self.name)").message("name and from: Fixed need each other").field_path(".from"))]
#[x_kube(validation = Rule::new("(self.from == 'Pattern') == has(self.pattern)").message("pattern and from: Pattern need each other").field_path(".from"))]
pub struct TablesSpec {
    /// Prefix: by the key's directories, joined by _ (events/2024/x.csv is events_2024), an object at the root by its
    /// stem. Fixed: all objects are one table, name. Pattern: by the group table of pattern.
    #[serde(default = "from")]
    pub from: TableSource,
    /// The one table, with from: Fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub name: Option<String>,
    /// With from: Pattern, a regular expression over the whole key with a group named table, such as
    /// ^events/(?<table>[^/]+)/. A key that does not match is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub pattern: Option<String>,
    /// Globs over table names; a table is synced when one matches.
    #[serde(default = "every_table")]
    #[schemars(length(min = 1, max = 1000), inner(length(min = 1, max = 255)))]
    pub include: Vec<String>,
}

fn from() -> TableSource {
    TableSource::Prefix
}

fn every_table() -> Vec<String> {
    vec!["*".to_owned()]
}

impl Default for TablesSpec {
    fn default() -> Self {
        TablesSpec { from: from(), name: None, pattern: None, include: every_table() }
    }
}
