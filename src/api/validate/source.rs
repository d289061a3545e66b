//! `spec.source`: which keys, which format, which tables.

use regex::Regex;

use super::access::Access;
use super::{FieldError, Problems, uri};
use crate::api::spec::{CsvReadSpec, InputCompression, SourceSpec, TableSource, TablesSpec};
use crate::model::format::{Compression, CompressionRule, InputFormat};
use crate::model::glob::Glob;
use crate::model::settings::{CsvReadSettings, SourceSettings, TableRule};
use crate::model::table::{PATTERN_GROUP, sanitise};

/// What the uri, or bucket, prefix and include, choose.
struct Selection {
    bucket: String,
    prefix: String,
    include: Vec<Glob>,
}

pub(super) fn source(spec: &SourceSpec, access: &Access, problems: &mut Problems) -> Option<SourceSettings> {
    let selection = selection(spec, problems);
    let exclude = globs(&spec.exclude, "spec.source.exclude", problems);
    let tables = table_rule(&spec.tables, problems);
    // A name holds no `/`, so `*` is every table: the rule that needs no matching.
    let every_table = spec.tables.include.iter().any(|glob| glob == "*");
    let table_include =
        if every_table { Vec::new() } else { globs(&spec.tables.include, "spec.source.tables.include", problems) };
    let format = spec.format.map(InputFormat::from);
    let csv = csv(&spec.csv, format, problems);
    let compression = match spec.compression {
        InputCompression::Auto => CompressionRule::Auto,
        InputCompression::None => CompressionRule::Fixed(Compression::None),
        InputCompression::Gzip => CompressionRule::Fixed(Compression::Gzip),
        InputCompression::Zstd => CompressionRule::Fixed(Compression::Zstd),
    };
    let Selection { bucket, prefix, include } = selection?;
    Some(SourceSettings {
        endpoint: access.identity.clone(),
        bucket,
        prefix,
        include,
        exclude,
        format,
        compression,
        csv,
        tables: tables?,
        table_include,
    })
}

fn selection(spec: &SourceSpec, problems: &mut Problems) -> Option<Selection> {
    let mut include = globs(spec.include.as_deref().unwrap_or_default(), "spec.source.include", problems);
    if spec.include.as_ref().is_some_and(Vec::is_empty) {
        problems.add(
            FieldError::new("spec.source.include", "is empty, so that nothing would be read")
                .suggest("leave it out to read every object of a known format"),
        );
    }
    match (&spec.uri, &spec.bucket) {
        (Some(text), None) => {
            let uri = problems.check("spec.source.uri", uri::parse(text))?;
            if spec.prefix.is_some() {
                problems.add(FieldError::new("spec.source.prefix", "excludes uri: the uri names the keys"));
            }
            let whole = uri.key.is_empty() || (uri.key.ends_with('/') && !uri::is_glob(uri.key));
            if whole {
                return Some(Selection { bucket: uri.bucket.to_owned(), prefix: uri.key.to_owned(), include });
            }
            if spec.include.is_some() {
                let what = if uri::is_glob(uri.key) { "is a glob" } else { "names one object" };
                problems.add(
                    FieldError::new("spec.source.include", format!("excludes a uri that {what}"))
                        .suggest("end the uri with / or leave include out"),
                );
                return None;
            }
            let glob = if uri::is_glob(uri.key) { uri.key.to_owned() } else { uri::literal_glob(uri.key) };
            include.push(problems.check("spec.source.uri", Glob::new(&glob))?);
            Some(Selection {
                bucket: uri.bucket.to_owned(),
                prefix: uri::literal_directory(uri.key).to_owned(),
                include,
            })
        }
        (None, Some(bucket)) => {
            if let Err(message) = uri::bucket_name(bucket) {
                problems.add(FieldError::new("spec.source.bucket", message));
            }
            let prefix = spec.prefix.clone().unwrap_or_default();
            problems
                .check("spec.source.prefix", uri::no_parameters(&prefix).and_then(|()| uri::no_credentials(&prefix)));
            if prefix.starts_with('/') {
                problems.add(FieldError::new("spec.source.prefix", "begins with /, which few keys do").suggest(
                    format!(
                        "write {}, or uri: s3://{bucket}/{prefix} where the keys really begin so",
                        prefix.trim_start_matches('/')
                    ),
                ));
            }
            Some(Selection { bucket: bucket.clone(), prefix, include })
        }
        (Some(_), Some(_)) => {
            problems.add(FieldError::new("spec.source.bucket", "excludes uri: the uri names the bucket"));
            None
        }
        (None, None) => {
            problems.add(FieldError::new("spec.source", "needs bucket or uri"));
            None
        }
    }
}

fn globs(texts: &[String], path: &str, problems: &mut Problems) -> Vec<Glob> {
    let glob = |(i, text): (usize, &String)| {
        if let Some(bare) = text.strip_prefix('/') {
            problems.add(
                FieldError::new(format!("{path}[{i}]"), format!("is {text:?}, and nothing begins with /"))
                    .suggest(format!("write {bare}")),
            );
            return None;
        }
        let path = format!("{path}[{i}]");
        problems.check(&path, uri::no_credentials(text))?;
        problems.check(&path, Glob::new(text))
    };
    texts.iter().enumerate().filter_map(glob).collect()
}

fn table_rule(spec: &TablesSpec, problems: &mut Problems) -> Option<TableRule> {
    let mut only_with = |given: bool, wanted: TableSource, field: &str| {
        if given && spec.from != wanted {
            let path = format!("spec.source.tables.{field}");
            problems.add(
                FieldError::new(path, format!("needs from: {}", wanted.name()))
                    .suggest(format!("set from: {} or leave {field} out", wanted.name())),
            );
        }
    };
    only_with(spec.name.is_some(), TableSource::Fixed, "name");
    only_with(spec.pattern.is_some(), TableSource::Pattern, "pattern");
    match spec.from {
        TableSource::Prefix => Some(TableRule::Prefix),
        TableSource::Fixed => {
            let Some(name) = &spec.name else {
                problems.add(FieldError::new("spec.source.tables.name", "is required with from: Fixed"));
                return None;
            };
            let clean = sanitise(name);
            if clean.is_none() {
                problems.add(FieldError::new(
                    "spec.source.tables.name",
                    format!("is {name:?}, which has no letter, digit or _ to name a table by"),
                ));
            }
            clean.map(|name| TableRule::Fixed { name })
        }
        TableSource::Pattern => {
            let Some(pattern) = &spec.pattern else {
                problems.add(FieldError::new("spec.source.tables.pattern", "is required with from: Pattern"));
                return None;
            };
            match Regex::new(pattern) {
                Ok(regex) if regex.capture_names().flatten().any(|name| name == PATTERN_GROUP) => {
                    Some(TableRule::Pattern { pattern: pattern.clone() })
                }
                Ok(_) => {
                    problems.add(
                        FieldError::new(
                            "spec.source.tables.pattern",
                            format!("is {pattern:?}, which has no group named table"),
                        )
                        .suggest("write it like ^events/(?<table>[^/]+)/"),
                    );
                    None
                }
                Err(error) => {
                    // The error draws the expression over several lines; its last one says what is wrong.
                    let text = error.to_string();
                    let reason = text.lines().last().unwrap_or("").trim().trim_start_matches("error: ").to_owned();
                    problems.add(FieldError::new(
                        "spec.source.tables.pattern",
                        format!("is no regular expression: {reason}"),
                    ));
                    None
                }
            }
        }
    }
}

/// One byte of a csv option, after its schema.
pub(super) fn byte(text: &str, path: &str, problems: &mut Problems) -> Option<u8> {
    match text.as_bytes() {
        b"\\t" => Some(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, 0 | b'\n' | b'\r') => Some(*byte),
        _ => {
            problems.add(
                FieldError::new(path, format!("is {text:?}, which is not one ASCII character"))
                    .suggest("write one character, or \\t for a tab"),
            );
            None
        }
    }
}

/// Marks of a csv that must differ, in the order in which they are compared.
pub(super) fn must_differ(marks: &[(&str, Option<u8>)], path: &str, problems: &mut Problems) {
    for (i, (name, mark)) in marks.iter().enumerate() {
        let earlier = marks[..i].iter().find(|(_, other)| mark.is_some() && other == mark);
        if let (Some((other, _)), Some(mark)) = (earlier, mark) {
            problems.add(FieldError::new(
                format!("{path}.{name}"),
                format!("is {:?}, as {other} is; they must differ", char::from(*mark)),
            ));
        }
    }
}

fn csv(spec: &CsvReadSpec, format: Option<InputFormat>, problems: &mut Problems) -> CsvReadSettings {
    let path = "spec.source.csv";
    let mut mark = |text: &Option<String>, field: &str| {
        text.as_deref()
            .filter(|text| !text.is_empty())
            .and_then(|text| byte(text, &format!("{path}.{field}"), problems))
    };
    let delimiter = mark(&spec.delimiter, "delimiter");
    let quote = mark(&Some(spec.quote.clone()), "quote");
    let escape = mark(&spec.escape, "escape");
    let comment = mark(&spec.comment, "comment");
    let implied = format.and_then(InputFormat::delimiter).unwrap_or(b',');
    must_differ(
        &[("delimiter", Some(delimiter.unwrap_or(implied))), ("quote", quote), ("comment", comment)],
        path,
        problems,
    );
    if escape.is_some() && quote.is_none() {
        problems.add(FieldError::new(format!("{path}.escape"), "needs quote: it works inside quoted fields"));
    }
    let null_values = spec
        .null_values
        .iter()
        .enumerate()
        .filter(|(i, text)| !spec.null_values[..*i].contains(text))
        .map(|(_, text)| text.clone());
    CsvReadSettings {
        delimiter,
        header: spec.header,
        quote,
        escape,
        comment,
        null_values: null_values.collect(),
        encoding: spec.encoding.into(),
        skip_rows: u64::try_from(spec.skip_rows).unwrap_or(0),
    }
}
