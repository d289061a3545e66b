//! File formats and codecs, by the names that users write.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A format that objects are read in. What is said of one is said once, in [`InputFormat::traits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputFormat {
    /// Comma separated values (RFC 4180, with the options of `csv`).
    Csv,
    /// The same with a tab.
    Tsv,
    /// One array, one object, or objects separated by white space.
    Json,
    /// One JSON object a line (ndjson).
    Jsonl,
    /// Apache Parquet.
    Parquet,
    /// Apache Avro, in object containers.
    Avro,
}

/// A format that files are written in. What is said of one is said once, in [`OutputFormat::traits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// Comma separated values (RFC 4180, with the options of `csv`).
    Csv,
    /// The same with a tab.
    Tsv,
    /// One array of objects.
    Json,
    /// One JSON object a line (ndjson).
    Jsonl,
    /// Apache Parquet.
    Parquet,
}

/// The input formats whose objects are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// Records of cells, with what separates them unless the options say otherwise.
    Delimited(u8),
    /// Values with white space or commas between them.
    Json,
    /// A value a line.
    Jsonl,
}

impl TextFormat {
    /// Comma separated values.
    pub const CSV: Self = Self::Delimited(b',');
    /// Tab separated values.
    pub const TSV: Self = Self::Delimited(b'\t');
}

/// How objects of a format are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoding {
    /// From the first byte to the last, decompressed and cut into records.
    Text(TextFormat),
    /// By ranges: the footer, then row groups.
    Parquet,
    /// From the first byte to the last: the header, then blocks.
    Avro,
}

/// What an object that is larger than a shard can be cut by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceBy {
    /// Bytes, wherever they fall: its records end as lines do.
    Lines,
    /// The same, unless quotes can hold a line's end.
    UnquotedLines,
    /// Row groups.
    RowGroups,
    /// Nothing: where a record begins is only known from what stands before it.
    Nothing,
}

/// The row of an input format.
#[derive(Clone, Copy, Debug)]
pub struct InputTraits {
    /// The name in manifests.
    pub name: &'static str,
    /// Extensions of keys, without the point, in lower case.
    pub extensions: &'static [&'static str],
    /// How its objects are read.
    pub decoding: Decoding,
    /// What large objects are cut by.
    pub slice_by: SliceBy,
    /// Whether its parts are read by ranges of their own, and not one after the other.
    pub by_ranges: bool,
    /// Whether its bytes are compressed inside, if at all.
    pub compressed_inside: bool,
    /// Bytes of decoded rows for each stored one, at the most as far as can be guessed.
    pub growth: u64,
    /// The same where the object is compressed as a whole.
    pub growth_compressed: u64,
}

impl InputTraits {
    /// Text: as is, its rows are little larger than it; gzip takes a third.
    const fn text(name: &'static str, extensions: &'static [&'static str], of: TextFormat, slice_by: SliceBy) -> Self {
        let decoding = Decoding::Text(of);
        let (by_ranges, compressed_inside, growth, growth_compressed) = (false, false, 4, 12);
        Self { name, extensions, decoding, slice_by, by_ranges, compressed_inside, growth, growth_compressed }
    }
}

/// The row of an output format.
#[derive(Clone, Copy, Debug)]
pub struct OutputTraits {
    /// The name in manifests, and the extension of uncompressed files.
    pub name: &'static str,
    /// What separates the cells of csv and tsv unless the options say otherwise.
    pub delimiter: Option<u8>,
    /// Whether the file is compressed as a whole, which its extension shows, and not inside.
    pub compressed_as_a_whole: bool,
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

impl InputFormat {
    /// Every input format, in the order of the documentation.
    pub const ALL: [Self; 6] = [Self::Csv, Self::Tsv, Self::Json, Self::Jsonl, Self::Parquet, Self::Avro];

    /// The table of input formats.
    pub const fn traits(self) -> InputTraits {
        match self {
            Self::Csv => InputTraits::text("csv", &["csv"], TextFormat::CSV, SliceBy::UnquotedLines),
            Self::Tsv => InputTraits::text("tsv", &["tsv", "tab"], TextFormat::TSV, SliceBy::UnquotedLines),
            Self::Json => InputTraits::text("json", &["json"], TextFormat::Json, SliceBy::Nothing),
            Self::Jsonl => InputTraits::text("jsonl", &["jsonl", "ndjson"], TextFormat::Jsonl, SliceBy::Lines),
            Self::Parquet => InputTraits {
                name: "parquet",
                extensions: &["parquet", "pq"],
                decoding: Decoding::Parquet,
                slice_by: SliceBy::RowGroups,
                by_ranges: true,
                compressed_inside: true,
                growth: 8,
                growth_compressed: 8,
            },
            Self::Avro => InputTraits {
                name: "avro",
                extensions: &["avro"],
                decoding: Decoding::Avro,
                slice_by: SliceBy::Nothing,
                by_ranges: false,
                compressed_inside: true,
                // Its blocks are compressed as often as not, and numbers are short in them.
                growth: 12,
                growth_compressed: 12,
            },
        }
    }

    /// The name in manifests.
    pub const fn name(self) -> &'static str {
        self.traits().name
    }

    /// What separates cells unless the options say otherwise; `None` where there are no cells.
    pub const fn delimiter(self) -> Option<u8> {
        match self.traits().decoding {
            Decoding::Text(TextFormat::Delimited(delimiter)) => Some(delimiter),
            Decoding::Text(TextFormat::Json | TextFormat::Jsonl) | Decoding::Parquet | Decoding::Avro => None,
        }
    }

    /// Format and compression that a key's extensions name (`a.csv.gz`, `b.ndjson`, `c.jsonl.zst`), `None` for an
    /// unknown one. Extensions are compared without case.
    pub fn of_key(key: &str) -> Option<(Self, Compression)> {
        let name = key.rsplit('/').next().unwrap_or(key);
        let (name, compression) = Compression::strip_extension(name);
        let (stem, extension) = name.rsplit_once('.')?;
        if stem.is_empty() {
            return None;
        }
        let names =
            |format: &Self| format.traits().extensions.iter().any(|known| known.eq_ignore_ascii_case(extension));
        Some((Self::ALL.into_iter().find(names)?, compression))
    }
}

impl OutputFormat {
    /// Every output format, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Csv, Self::Tsv, Self::Json, Self::Jsonl, Self::Parquet];

    /// The table of output formats.
    pub const fn traits(self) -> OutputTraits {
        match self {
            Self::Csv => OutputTraits { name: "csv", delimiter: Some(b','), compressed_as_a_whole: true },
            Self::Tsv => OutputTraits { name: "tsv", delimiter: Some(b'\t'), compressed_as_a_whole: true },
            Self::Json => OutputTraits { name: "json", delimiter: None, compressed_as_a_whole: true },
            Self::Jsonl => OutputTraits { name: "jsonl", delimiter: None, compressed_as_a_whole: true },
            Self::Parquet => OutputTraits { name: "parquet", delimiter: None, compressed_as_a_whole: false },
        }
    }

    /// The name in manifests, and the extension of uncompressed files.
    pub const fn name(self) -> &'static str {
        self.traits().name
    }

    /// What separates cells unless the options say otherwise; `None` where there are no cells.
    pub const fn delimiter(self) -> Option<u8> {
        self.traits().delimiter
    }

    /// Format and compression that a key's extensions name, as for [`InputFormat::of_key`]; `None` where nothing is
    /// written in that format.
    pub fn of_key(key: &str) -> Option<(Self, Compression)> {
        let (named, compression) = InputFormat::of_key(key)?;
        Some((Self::ALL.into_iter().find(|format| format.name() == named.name())?, compression))
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

impl fmt::Display for InputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for OutputFormat {
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
            ("a/b.csv", Some((InputFormat::Csv, Compression::None))),
            ("a/b.CSV.GZ", Some((InputFormat::Csv, Compression::Gzip))),
            ("b.ndjson", Some((InputFormat::Jsonl, Compression::None))),
            ("c.jsonl.zst", Some((InputFormat::Jsonl, Compression::Zstd))),
            ("d.parquet", Some((InputFormat::Parquet, Compression::None))),
            ("d.avro", Some((InputFormat::Avro, Compression::None))),
            ("e.tsv", Some((InputFormat::Tsv, Compression::None))),
            ("a.csv/readme", None),
            (".csv", None),
            ("é.gz", None),
            ("noextension", None),
            ("dir/", None),
        ] {
            assert_eq!(InputFormat::of_key(key), expected, "{key}");
        }
    }

    /// Names, extensions and the persisted form agree, and no extension names two formats.
    #[test]
    fn tables_and_serde_say_the_same() {
        let mut extensions: Vec<&str> = Vec::new();
        for format in InputFormat::ALL {
            assert_eq!(serde_json::to_value(format).unwrap(), format.name());
            assert_eq!(InputFormat::of_key(&format!("a.{format}")), Some((format, Compression::None)));
            extensions.extend(format.traits().extensions);
        }
        for format in OutputFormat::ALL {
            assert_eq!(serde_json::to_value(format).unwrap(), format.name());
            assert_eq!(OutputFormat::of_key(&format!("a.{format}.gz")), Some((format, Compression::Gzip)));
        }
        let count = extensions.len();
        extensions.sort_unstable();
        extensions.dedup();
        assert_eq!(extensions.len(), count);
    }
}
