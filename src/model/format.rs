//! File formats and codecs, by the names that users write.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A file format, for reading and for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma separated values (RFC 4180, with the options of `csv`).
    Csv,
    /// The same with a tab.
    Tsv,
    /// Reading: one array, one object, or objects separated by white space. Writing: one array.
    Json,
    /// One JSON object a line (ndjson).
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// How an object's bytes are compressed as a whole (the codec inside a parquet file is not this).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As they are.
    None,
    /// gzip (RFC 1952), one or several members.
    Gzip,
    /// Zstandard frames (RFC 8878).
    Zstd,
}

/// How the compression of an input is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompressionRule {
    /// By the key's extension, then by the first bytes: magic bytes win where the two disagree.
    Auto,
    /// As named, whatever the key or the bytes say.
    #[serde(untagged)]
    Fixed(Compression),
}

impl CompressionRule {
    /// The compression of an object, as far as its key tells.
    pub fn of_key(self, key: &str) -> Compression {
        match self {
            Self::Fixed(compression) => compression,
            Self::Auto => Compression::strip_extension(key).1,
        }
    }
}

impl Format {
    /// Every format, in the order of the documentation.
    pub const ALL: [Format; 5] = [Format::Csv, Format::Tsv, Format::Json, Format::Jsonl, Format::Parquet];

    /// The name in manifests, and the extension of an uncompressed output file.
    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Json => "json",
            Format::Jsonl => "jsonl",
            Format::Parquet => "parquet",
        }
    }

    /// Format and compression that a key's extensions name (`a.csv.gz`, `b.ndjson`, `c.jsonl.zst`), `None` for an
    /// unknown one. Extensions are compared without case.
    pub fn of_key(key: &str) -> Option<(Format, Compression)> {
        let name = key.rsplit('/').next().unwrap_or(key);
        let (name, compression) = Compression::strip_extension(name);
        let (stem, extension) = name.rsplit_once('.')?;
        if stem.is_empty() {
            return None;
        }
        let format = match extension.to_ascii_lowercase().as_str() {
            "csv" => Format::Csv,
            "tsv" | "tab" => Format::Tsv,
            "json" => Format::Json,
            "jsonl" | "ndjson" => Format::Jsonl,
            "parquet" | "pq" => Format::Parquet,
            _ => return None,
        };
        Some((format, compression))
    }
}

impl Compression {
    /// The extension that output files carry after the format's: `.gz`, `.zst`, or nothing.
    pub fn extension(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        }
    }

    /// Takes a compression extension off a name: `a.csv.gz` gives (`a.csv`, Gzip).
    pub fn strip_extension(name: &str) -> (&str, Compression) {
        for (extension, compression) in [
            (".gz", Compression::Gzip),
            (".gzip", Compression::Gzip),
            (".zst", Compression::Zstd),
            (".zstd", Compression::Zstd),
        ] {
            let cut = name.len().saturating_sub(extension.len());
            if cut > 0 && name.is_char_boundary(cut) && name[cut..].eq_ignore_ascii_case(extension) {
                return (&name[..cut], compression);
            }
        }
        (name, Compression::None)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_name_format_and_compression() {
        for (key, expected) in [
            ("a/b.csv", Some((Format::Csv, Compression::None))),
            ("a/b.CSV.GZ", Some((Format::Csv, Compression::Gzip))),
            ("b.ndjson", Some((Format::Jsonl, Compression::None))),
            ("c.jsonl.zst", Some((Format::Jsonl, Compression::Zstd))),
            ("d.parquet", Some((Format::Parquet, Compression::None))),
            ("e.tsv", Some((Format::Tsv, Compression::None))),
            ("a.csv/readme", None),
            (".csv", None),
            ("é.gz", None),
            ("noextension", None),
            ("dir/", None),
        ] {
            assert_eq!(Format::of_key(key), expected, "{key}");
        }
    }
}
