//! `spec.destination`: which keys, which format, how files are cut and written.

use std::num::NonZeroU64;

use super::access::Access;
use super::source::{byte, must_differ};
use super::{FieldError, Problems, partition, uri};
use crate::api::spec::{CsvWriteSpec, DestinationSpec, ObjectSpec, OutputCompression, S3SyncSpec, Sse};
use crate::model::format::{Compression, OutputFormat};
use crate::model::settings::{CsvWriteSettings, DestinationSettings, ObjectAttributes, ParquetCodec, ParquetSettings};
use crate::model::template::Template;
use crate::model::write_mode::{OutputKeys, WriteMode};

/// The template where neither path nor uri is given.
const DEFAULT_PATH: &str = "{{TABLE}}/{{UUID}}.{{FORMAT}}";
/// The template of a bucket, or of a uri that names no key.
const DEFAULT_NAME: &str = "{{UUID}}.{{FORMAT}}";
/// S3 allows 2 KB of user metadata, names and values together.
const METADATA_BYTES_MAX: usize = 2048;

pub(super) fn destination(spec: &S3SyncSpec, access: &Access, problems: &mut Problems) -> Option<DestinationSettings> {
    let to = &spec.destination;
    let target = target(to, problems);
    let format = format(to, target.as_ref(), problems);
    let partition_by = partition::rules(&to.partition_by, &spec.schema, problems);
    let object = object(&to.object, problems);
    let csv = csv(&to.csv, format.map(|(format, _)| format), problems);
    let target_file_bytes = problems.check("spec.destination.batch.bytes", to.batch.bytes.bytes());
    let row_group_bytes = problems.check("spec.destination.parquet.rowGroupBytes", to.parquet.row_group_bytes.bytes());
    if row_group_bytes == Some(0) {
        problems.add(
            FieldError::new("spec.destination.parquet.rowGroupBytes", "is 0, and a row group holds something")
                .suggest("write 128Mi"),
        );
    }
    let (format, compression) = format?;
    let codec = match compression {
        OutputCompression::Zstd => ParquetCodec::Zstd,
        OutputCompression::Snappy => ParquetCodec::Snappy,
        OutputCompression::Gzip => ParquetCodec::Gzip,
        OutputCompression::None => ParquetCodec::None,
    };
    if format == OutputFormat::Parquet && codec == ParquetCodec::Gzip && to.parquet.level > 9 {
        problems.add(FieldError::new(
            "spec.destination.parquet.level",
            format!("is {}, and gzip has the levels 1 to 9", to.parquet.level),
        ));
    }
    let target = target?;
    let write_mode = WriteMode::from(to.write_mode);
    if write_mode.keys() == OutputKeys::Once && !target.template.is_unique() {
        problems.add(
            FieldError::new(
                target.field,
                format!(
                    "is {:?}, which gives every run the same key, and writeMode Append never writes a key twice",
                    target.template.as_str()
                ),
            )
            .suggest("add {{UUID}} or {file_id}, or set writeMode: Replace"),
        );
    }
    Some(DestinationSettings {
        endpoint: access.identity.clone(),
        bucket: target.bucket,
        template: target.template,
        format,
        compression: match compression {
            _ if !format.traits().compressed_as_a_whole => Compression::None,
            OutputCompression::Zstd => Compression::Zstd,
            OutputCompression::Gzip => Compression::Gzip,
            OutputCompression::Snappy | OutputCompression::None => Compression::None,
        },
        write_mode,
        allow_empty: to.allow_empty,
        partition_by,
        file_rows_max: u64::try_from(to.batch.rows).ok().and_then(NonZeroU64::new),
        target_file_bytes: NonZeroU64::new(target_file_bytes?),
        csv,
        parquet: ParquetSettings {
            codec,
            row_group_rows: u64::try_from(to.parquet.row_group_rows).unwrap_or(0).max(1),
            row_group_bytes: row_group_bytes?,
            level: to.parquet.level,
        },
        object,
        lineage: to.lineage,
    })
}

/// Where files go.
struct Target {
    bucket: String,
    template: Template,
    /// The field that says so.
    field: &'static str,
    /// OutputFormat and compression that the uri's extension names.
    named: Option<(OutputFormat, Compression)>,
}

fn target(spec: &DestinationSpec, problems: &mut Problems) -> Option<Target> {
    if spec.uri.is_some() && spec.path.is_some() {
        problems.add(FieldError::new("spec.destination.path", "excludes uri: the uri names the key"));
    }
    let (bucket, path, field, named) = match (&spec.uri, &spec.bucket) {
        (Some(text), None) => {
            let field = "spec.destination.uri";
            let uri = problems.check(field, uri::parse(text))?;
            (uri.bucket.to_owned(), path(uri.key), field, OutputFormat::of_key(uri.key))
        }
        (None, Some(bucket)) => {
            if let Err(message) = uri::bucket_name(bucket) {
                problems.add(FieldError::new("spec.destination.bucket", message));
            }
            (bucket.clone(), path(spec.path.as_deref().unwrap_or(DEFAULT_PATH)), "spec.destination.path", None)
        }
        (Some(_), Some(_)) => {
            problems.add(FieldError::new("spec.destination.bucket", "excludes uri: the uri names the bucket"));
            return None;
        }
        (None, None) => {
            problems.add(FieldError::new("spec.destination", "needs bucket or uri"));
            return None;
        }
    };
    if path.starts_with('/') {
        problems.add(
            FieldError::new(field, "begins with /, and a key does not")
                .suggest(format!("write {}", path.trim_start_matches('/'))),
        );
        return None;
    }
    problems.check(field, uri::no_parameters(&path).and_then(|()| uri::no_credentials(&path)))?;
    let template = problems.check(field, Template::parse(&path))?;
    Some(Target { bucket, template, field, named })
}

/// The path, or what a bucket alone means.
fn path(written: &str) -> String {
    if written.is_empty() { DEFAULT_NAME.to_owned() } else { written.to_owned() }
}

fn format(
    spec: &DestinationSpec,
    target: Option<&Target>,
    problems: &mut Problems,
) -> Option<(OutputFormat, OutputCompression)> {
    let named = target.and_then(|target| target.named);
    let format = match (spec.format, named) {
        (Some(format), Some((by_name, _))) if OutputFormat::from(format) != by_name => {
            problems.add(
                FieldError::new(
                    "spec.destination.format",
                    format!("is {}, and the uri's extension says {by_name}", format.name()),
                )
                .suggest("leave format out, or change the uri's extension"),
            );
            return None;
        }
        (Some(format), named) => {
            let format = OutputFormat::from(format);
            if let Some(target) = target.filter(|_| named.is_none())
                && let Some(by_name) = target.template.named_format()
                && !same_reader(format, by_name)
            {
                problems.add(
                    FieldError::new(target.field, format!("ends like {by_name}, and format is {format}"))
                        .suggest("end it in .{{FORMAT}}, or change format"),
                );
            }
            format
        }
        (None, Some((format, _))) => format,
        (None, None) => {
            // Without a target there is an error already that may hide the extension.
            if target.is_some() {
                problems.add(
                    FieldError::new("spec.destination.format", "is required: no extension of a uri gives it")
                        .suggest("write csv, tsv, json, jsonl or parquet"),
                );
            }
            return None;
        }
    };
    let path = "spec.destination.compression";
    if !format.traits().compressed_as_a_whole {
        return Some((format, spec.compression.unwrap_or(OutputCompression::Zstd)));
    }
    let by_name = match named {
        Some((_, Compression::Gzip)) => Some(OutputCompression::Gzip),
        Some((_, Compression::Zstd)) => Some(OutputCompression::Zstd),
        _ => None,
    };
    match (spec.compression, by_name) {
        (Some(OutputCompression::Snappy), _) => {
            problems.add(FieldError::new(path, format!("is snappy, and {format} takes none, gzip or zstd")));
            None
        }
        (Some(written), Some(by_name)) if written != by_name => {
            problems.add(
                FieldError::new(
                    path,
                    format!("is {}, and the uri's extension says {}", written.name(), by_name.name()),
                )
                .suggest("leave compression out, or change the uri's extension"),
            );
            None
        }
        (written, by_name) => Some((format, written.or(by_name).unwrap_or(OutputCompression::None))),
    }
}

/// Whether what a path's extension names may hold files of a format: `.json` is what several tools call JSON lines.
fn same_reader(format: OutputFormat, by_name: OutputFormat) -> bool {
    format == by_name || (format == OutputFormat::Jsonl && by_name == OutputFormat::Json)
}

fn csv(spec: &CsvWriteSpec, format: Option<OutputFormat>, problems: &mut Problems) -> CsvWriteSettings {
    let path = "spec.destination.csv";
    let delimiter = spec.delimiter.as_deref().and_then(|text| byte(text, &format!("{path}.delimiter"), problems));
    let quote = Some(spec.quote.as_str())
        .filter(|text| !text.is_empty())
        .and_then(|text| byte(text, &format!("{path}.quote"), problems));
    let implied = format.and_then(OutputFormat::delimiter).unwrap_or(b',');
    let delimiter_in_force = delimiter.unwrap_or(implied);
    must_differ(&[("delimiter", Some(delimiter_in_force)), ("quote", quote)], path, problems);
    let breaks = |c: char| {
        c == '\n'
            || c == '\r'
            || c == char::from(delimiter_in_force)
            || quote.is_some_and(|quote| c == char::from(quote))
    };
    if spec.null_value.contains(breaks) {
        problems.add(FieldError::new(
            format!("{path}.nullValue"),
            format!("is {:?}, which holds a delimiter, a quote or a newline", spec.null_value),
        ));
    }
    CsvWriteSettings { delimiter, header: spec.header, quote, null_value: spec.null_value.clone() }
}

fn object(spec: &ObjectSpec, problems: &mut Problems) -> ObjectAttributes {
    let path = "spec.destination.object";
    if spec.kms_key_id.is_some() && !matches!(spec.sse, Some(Sse::Kms | Sse::KmsDsse)) {
        problems.add(FieldError::new(format!("{path}.kmsKeyId"), "needs sse: aws:kms or aws:kms:dsse"));
    }
    for name in spec.tags.keys() {
        if name.is_empty() || name.chars().count() > 128 {
            problems.add(FieldError::new(
                format!("{path}.tags"),
                format!("has the name {name:?}, and a tag's name has 1 to 128 characters"),
            ));
        }
    }
    for name in spec.metadata.keys() {
        let token = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.'));
        if !token {
            problems.add(FieldError::new(
                format!("{path}.metadata"),
                format!("has the name {name:?}, and a name has lower-case letters, digits, -, _ and . only"),
            ));
        } else if name.starts_with("s3sync-") {
            problems.add(FieldError::new(
                format!("{path}.metadata"),
                format!("has the name {name:?}, and names that begin with s3sync- are s3sync's own"),
            ));
        }
    }
    let bytes: usize = spec.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX {
        problems.add(FieldError::new(
            format!("{path}.metadata"),
            format!("has {bytes} bytes of names and values, and S3 takes {METADATA_BYTES_MAX}"),
        ));
    }
    if let Some((name, _)) =
        spec.metadata.iter().find(|(_, value)| value.chars().any(|c| c.is_ascii_control() || !c.is_ascii()))
    {
        problems.add(FieldError::new(
            format!("{path}.metadata"),
            format!("has a value for {name:?} with characters that an HTTP header cannot carry"),
        ));
    }
    ObjectAttributes {
        acl: spec.acl.clone(),
        storage_class: spec.storage_class.clone(),
        sse: spec.sse.map(|sse| sse.name().to_owned()),
        kms_key_id: spec.kms_key_id.clone(),
        tags: spec.tags.clone().into_iter().collect(),
        metadata: spec.metadata.clone().into_iter().collect(),
    }
}
