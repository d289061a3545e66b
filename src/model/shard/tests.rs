use proptest::prelude::*;

use super::*;
use crate::model::fixtures::{object, settings};
use crate::model::format::CompressionRule;
use crate::model::settings::TableRule;
use crate::model::template::Template;

const MIB: u64 = 1 << 20;

/// Shards as lists of `table/key`, slices as `table/key@start..end` in MiB.
fn pack(settings: &Settings, tables: &[(u32, &str, u64)]) -> Vec<Vec<String>> {
    let mut epoch = Totals::default();
    let totals = |wanted: u32| {
        let mut totals = Totals::default();
        tables.iter().filter(|(table, ..)| *table == wanted).for_each(|(_, key, size)| totals.add(&sized(key, *size)));
        totals
    };
    tables.iter().for_each(|(_, key, size)| epoch.add(&sized(key, *size)));
    let mut packer = Packer::new(settings, epoch);
    let mut shards: Vec<Vec<String>> = vec![vec![]];
    for (table, key, size) in tables {
        let name = format!("{table}/{key}");
        match packer.place(*table, totals(*table), &sized(key, *size)) {
            Placement::Here => shards.last_mut().unwrap().push(name),
            Placement::Next => shards.push(vec![name]),
            Placement::Slices(slices) => shards.extend(slices.into_iter().map(|slice| {
                let (Slice::Bytes { start, end } | Slice::RowGroups { start, end }) = slice;
                vec![format!("{name}@{}..{}", start / MIB, end / MIB)]
            })),
        }
    }
    shards.retain(|shard| !shard.is_empty());
    shards
}

fn sized(key: &str, size: u64) -> Object {
    Object { size, ..object(key, "e") }
}

fn with(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = settings();
    change(&mut settings);
    settings
}

#[test]
fn objects_are_packed() {
    let one = settings();
    let two = with(|settings| settings.worker.replicas = 2);
    let one_file = with(|settings| settings.destination.template = Template::parse("{{TABLE}}.{{FORMAT}}").unwrap());
    for (name, settings, objects, expected) in [
        ("nothing", &one, &[][..], &[][..]),
        (
            "small tables share a shard",
            &one,
            &[(0, "a", MIB), (1, "b", MIB), (1, "c", MIB)],
            &[&["0/a", "1/b", "1/c"][..]],
        ),
        (
            "a large table is cut into shards of one size",
            &one,
            &[(0, "a", 700 * MIB), (0, "b", 700 * MIB), (0, "c", 500 * MIB)],
            &[&["0/a"], &["0/b"], &["0/c"]],
        ),
        (
            "a table that fits is not cut",
            &one,
            &[(0, "a", 600 * MIB), (1, "b", 200 * MIB), (1, "c", 500 * MIB), (2, "d", 100 * MIB)],
            &[&["0/a"], &["1/b", "1/c"], &["2/d"]],
        ),
        (
            "each worker gets its share",
            &two,
            &[(0, "a.gz", 40 * MIB), (0, "b.gz", 40 * MIB)],
            &[&["0/a.gz"], &["0/b.gz"]],
        ),
        ("what is little is not shared", &two, &[(0, "a", 2 * MIB), (0, "b", 2 * MIB)], &[&["0/a", "0/b"]]),
        (
            "a large object is sliced, and has its shards for itself",
            &two,
            &[(0, "a.jsonl", MIB), (0, "b.jsonl", 100 * MIB), (0, "c.jsonl", MIB)],
            &[&["0/a.jsonl"], &["0/b.jsonl@0..50"], &["0/b.jsonl@50..100"], &["0/c.jsonl"]],
        ),
        (
            "one file of a table comes from one shard",
            &one_file,
            &[(0, "a", 3000 * MIB), (0, "b", 3000 * MIB), (1, "c", MIB)],
            &[&["0/a", "0/b"], &["1/c"]],
        ),
    ] {
        assert_eq!(pack(settings, objects), expected, "{name}");
    }
}

#[test]
fn what_can_be_sliced() {
    let check = |key: &str, change: fn(&mut Settings), expected: bool| {
        let settings = with(|settings| {
            settings.worker.replicas = 4;
            change(settings);
        });
        let sliced = pack(&settings, &[(0, key, 400 * MIB)]).len() > 1;
        assert_eq!(sliced, expected, "{key}");
    };
    check("a.jsonl", |_| {}, true);
    check("a.parquet", |_| {}, true);
    check("a.jsonl.gz", |_| {}, false);
    check("a.json", |_| {}, false);
    check("a.csv", |_| {}, false);
    check("a.csv", |settings| settings.source.csv.quote = None, true);
    check("a.tsv", |settings| settings.source.csv.quote = None, true);
    check(
        "a.csv",
        |settings| {
            settings.source.csv.quote = None;
            settings.source.csv.encoding = Encoding::Utf16;
        },
        false,
    );
    check("a.jsonl", |settings| settings.destination.lineage = true, false);
    check("a.parquet", |settings| settings.destination.lineage = true, true);
    check("a.jsonl", |settings| settings.worker.replicas = 1, false);
    check(
        "a.jsonl",
        |settings| settings.destination.template = Template::parse("{{SOURCE_STEM}}-{{UUID}}").unwrap(),
        false,
    );
    check("a.jsonl", |settings| settings.destination.template = Template::parse("{{TABLE}}.parquet").unwrap(), false);
    check("a.txt", |settings| settings.source.format = Some(InputFormat::Jsonl), true);
    check("a.jsonl", |settings| settings.source.compression = CompressionRule::Fixed(Compression::Gzip), false);
    check("a.jsonl.gz", |settings| settings.source.compression = CompressionRule::Fixed(Compression::None), true);
}

#[test]
fn parts_fit_the_largest_file() {
    for (target_file_bytes, input_bytes, expected) in [
        (128 * MIB, 0, 8 * MIB),
        (9_000 * 8 * MIB, 0, 8 * MIB),
        (9_000 * 8 * MIB + 1, 0, 9 * MIB),
        (u64::MAX, 0, 64 * MIB),
        (0, 1024 * MIB, 8 * MIB),
        (0, 9_000 * 2 * MIB, 16 * MIB),
        (0, u64::MAX, 64 * MIB),
    ] {
        let settings = with(|settings| settings.destination.target_file_bytes = NonZeroU64::new(target_file_bytes));
        assert_eq!(part_bytes(&settings, input_bytes), expected, "{target_file_bytes} of {input_bytes}");
    }
}

proptest! {
    #[test]
    fn every_byte_is_read_once(
        sizes in prop::collection::vec((0u32..4, 1u64..200), 1..60),
        replicas in 1u32..5,
        unit in prop::sample::select(vec![1u64 << 10, MIB, 16 * MIB]),
    ) {
        let settings = with(|settings| {
            settings.worker.replicas = replicas;
            settings.source.tables = TableRule::Prefix;
        });
        let mut sizes = sizes;
        sizes.sort_by_key(|(table, _)| *table);
        let keys: Vec<String> = (0..sizes.len()).map(|at| format!("k{at:03}.jsonl")).collect();
        let objects = sizes.iter().zip(&keys).map(|((table, size), key)| (*table, key.as_str(), size * unit));
        let objects: Vec<(u32, &str, u64)> = objects.collect();
        let mut expected: Vec<String> = objects.iter().map(|(table, key, _)| format!("{table}/{key}")).collect();
        let shards = pack(&settings, &objects);
        prop_assert_eq!(&pack(&settings, &objects), &shards);
        let mut seen: Vec<String> = Vec::new();
        for shard in &shards {
            prop_assert!(shard.len() as u64 <= SHARD_OBJECTS_MAX);
            for name in shard {
                let sliced = name.split_once('@').map(|(name, slice)| (name, Some(slice)));
                let (name, slice) = sliced.unwrap_or((name.as_str(), None));
                prop_assert!(slice.is_none() || shard.len() == 1, "a slice shares its shard: {:?}", shard);
                if seen.last().map(String::as_str) != Some(name) {
                    seen.push(name.to_owned());
                }
            }
        }
        expected.dedup();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn slices_cover_an_object(size in 1u64 << 25..1 << 40, replicas in 2u32..9) {
        let settings = with(|settings| settings.worker.replicas = replicas);
        let object = sized("a.jsonl", size);
        let mut totals = Totals::default();
        totals.add(&object);
        if let Placement::Slices(slices) = Packer::new(&settings, totals).place(0, totals, &object) {
            let ends: Vec<(u64, u64)> = slices.iter().map(|slice| match *slice {
                Slice::Bytes { start, end } | Slice::RowGroups { start, end } => (start, end),
            }).collect();
            prop_assert_eq!((ends[0].0, ends[ends.len() - 1].1), (0, size));
            prop_assert!(ends.windows(2).all(|pair| pair[0].1 == pair[1].0));
            prop_assert!(slices.iter().all(|slice| slice.bytes() > 0));
        } else {
            prop_assert!(size < SHARD_BYTES_MIN * 3 / 2);
        }
    }
}
