//! How the objects of an epoch are cut into shards, and what of the layout is frozen with them.

use std::num::NonZeroU64;

use super::format::{Compression, InputFormat, SliceBy};
use super::object::Object;
use super::plan::Slice;
use super::settings::{Encoding, Settings};

/// A shard reads about this many bytes at most: a minute's work, which is what a lost attempt costs, and still full
/// output files.
pub const SHARD_BYTES: u64 = 1 << 30;

/// With several workers shards become smaller so that each has some, but not smaller than this: below it, one more
/// output file costs more than the worker saves.
pub const SHARD_BYTES_MIN: u64 = 16 << 20;

/// Objects of one shard: its list is held in memory while it is read.
pub const SHARD_OBJECTS_MAX: u64 = 10_000;

/// What one more request weighs in bytes, so that a shard of many small objects is no longer work than one of few large
/// ones.
const OBJECT_WEIGHT: u64 = 32 << 10;

/// Bytes of rows that a layout buffers. Frozen, and never read from the machine, so that files do not depend on it
/// (invariant I5).
pub const LAYOUT_BYTES: u64 = 64 << 20;

/// The smallest part: larger than S3's 5 MiB, and 80 GB in a file of 10,000.
const PART_BYTES_MIN: u64 = 8 << 20;

/// The largest part: a few are in memory at once. A file that needs more of them than it may have rotates (S3: 10,000).
const PART_BYTES_MAX: u64 = 64 << 20;

/// Parts that the largest file shall have; the rest of the 10,000 is for what is estimated wrongly.
const PARTS_WANTED: u64 = 9_000;

/// A file of unlimited size is taken to be at most this many times the input: parquet in, csv out.
const EXPANSION: u64 = 8;

/// Bytes of every part but the last, for an epoch that reads `input_bytes`: `batch.bytes` fits 9,000 of them.
pub fn part_bytes(settings: &Settings, input_bytes: u64) -> u64 {
    let file = settings.destination.target_file_bytes.map_or(input_bytes.saturating_mul(EXPANSION), NonZeroU64::get);
    file.div_ceil(PARTS_WANTED).next_multiple_of(1 << 20).clamp(PART_BYTES_MIN, PART_BYTES_MAX)
}

/// Objects and bytes, of an epoch or of one of its tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Objects.
    pub objects: u64,
    /// Their bytes as stored.
    pub bytes: u64,
}

impl Totals {
    /// Adds an object.
    pub fn add(&mut self, object: &Object) {
        self.objects += 1;
        self.bytes += object.size;
    }

    fn weight(self) -> u64 {
        self.bytes.saturating_add(self.objects.saturating_mul(OBJECT_WEIGHT))
    }
}

/// Cuts a sequence of objects, table by table and by key within one, into shards. What it does depends on the sequence
/// and the totals alone.
#[derive(Debug)]
pub struct Packer<'a> {
    settings: &'a Settings,
    target: u64,
    shard: Totals,
    table: Option<u32>,
}

/// Where the next object goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Into the shard at hand.
    Here,
    /// Into a new shard.
    Next,
    /// Into a new shard for each of these slices; whatever comes after goes into another.
    Slices(Vec<Slice>),
}

impl<'a> Packer<'a> {
    /// For an epoch of these totals. Each worker gets as many shards as any other, all of about one weight.
    pub fn new(settings: &'a Settings, epoch: Totals) -> Self {
        let workers = u64::from(settings.worker.replicas.max(1));
        let rounds = epoch.weight().div_ceil(SHARD_BYTES.saturating_mul(workers)).max(1);
        let target = epoch.weight().div_ceil(workers.saturating_mul(rounds)).max(SHARD_BYTES_MIN);
        Self { settings, target, shard: Totals::default(), table: None }
    }

    /// Places an object of `table`, which has `totals` in this epoch.
    pub fn place(&mut self, table: u32, totals: Totals, object: &Object) -> Placement {
        let new_table = self.table.replace(table) != Some(table);
        let slices = self.slices(object);
        if !slices.is_empty() {
            self.shard = Totals { objects: SHARD_OBJECTS_MAX, bytes: self.target };
            return Placement::Slices(slices);
        }
        let mut with = self.shard;
        with.add(object);
        let fits = |totals: Totals| totals.weight() <= self.target && totals.objects <= SHARD_OBJECTS_MAX;
        let with_table = Totals {
            objects: self.shard.objects + totals.objects,
            bytes: self.shard.bytes.saturating_add(totals.bytes),
        };
        // A table that fits a shard is not cut, so that it has one set of files. One that has a single file must never
        // be cut.
        let whole = fits(totals) || !self.settings.destination.template.is_unique();
        let here = if whole && !new_table {
            true
        } else if whole {
            fits(with_table)
        } else {
            fits(with)
        };
        if here && self.shard.objects > 0 {
            self.shard = with;
            return Placement::Here;
        }
        let first = self.shard.objects == 0;
        self.shard = Totals { objects: 1, bytes: object.size };
        if first { Placement::Here } else { Placement::Next }
    }

    /// The slices of an object that is worth cutting and can be; none for the others.
    fn slices(&self, object: &Object) -> Vec<Slice> {
        let destination = &self.settings.destination;
        let one_reader = self.settings.worker.replicas <= 1
            || !destination.template.is_unique()
            || destination.template.per_source();
        // Cutting what is little more than a shard leaves a shard of little.
        if one_reader || object.size < self.target.saturating_mul(3) / 2 {
            return Vec::new();
        }
        let pieces = object.size.div_ceil(self.target);
        let at = |piece: u64| (u128::from(object.size) * u128::from(piece) / u128::from(pieces)) as u64;
        let ranges = (0..pieces).map(|piece| (at(piece), at(piece + 1)));
        match slice_by(self.settings, &object.key) {
            SliceBy::Nothing => Vec::new(),
            SliceBy::RowGroups => ranges.map(|(start, end)| Slice::RowGroups { start, end }).collect(),
            SliceBy::Lines | SliceBy::UnquotedLines => ranges.map(|(start, end)| Slice::Bytes { start, end }).collect(),
        }
    }
}

/// What records of an object can be found by from its middle, as far as its key tells.
fn slice_by(settings: &Settings, key: &str) -> SliceBy {
    if settings.source.compression.of_key(key) != Compression::None {
        return SliceBy::Nothing;
    }
    let csv = &settings.source.csv;
    let Some(format) = format_of(settings, key) else { return SliceBy::Nothing };
    match format.traits().slice_by {
        // Row numbers need everything before them to be counted.
        SliceBy::Lines | SliceBy::UnquotedLines if settings.destination.lineage => SliceBy::Nothing,
        SliceBy::UnquotedLines if csv.quote.is_some() || !matches!(csv.encoding, Encoding::Utf8 | Encoding::Latin1) => {
            SliceBy::Nothing
        }
        by => by,
    }
}

/// The format that an object is read as; `None` when neither the spec nor the key says.
pub fn format_of(settings: &Settings, key: &str) -> Option<InputFormat> {
    settings.source.format.or_else(|| InputFormat::of_key(key).map(|(format, _)| format))
}

#[cfg(test)]
mod tests;
