//! The rules one by one.

use arrow_schema::DataType;

use super::world::{Ran, World};
use crate::model::glob::Glob;
use crate::model::request::{Asked, Request, Window};
use crate::model::settings::{ColumnRule, OnOverwrite, SchemaMode, TableRule};
use crate::model::template::Template;
use crate::model::write_mode::WriteMode;
use crate::pipeline::error::RunErrorKind;
use crate::pipeline::planner::Why;
use crate::store::ErrorKind;
use crate::store::faulty::{Fault, Faults, on};

fn keys(ran: &Ran) -> Vec<Vec<&str>> {
    ran.epochs.iter().map(|epoch| epoch.iter().map(|(key, _)| key.as_str()).collect()).collect()
}

fn fails(world: &mut World, kind: RunErrorKind, expected: &str) {
    let error = world.run().unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (kind, expected));
}

#[test]
fn a_pass_without_news_writes_nothing_and_asks_for_no_object() {
    let mut world = World::new(|_| {});
    for at in 0..50 {
        world.put(&format!("a/{at:02}.csv"), b"x");
    }
    assert_eq!(world.run().unwrap().epochs.len(), 1);
    let (blobs, calls) = (world.destination.keys(), world.faults.calls());
    assert_eq!(world.run().unwrap().epochs.len(), 0);
    assert_eq!(world.destination.keys(), blobs);
    assert_eq!(world.faults.calls(), calls + 1, "one listing");
}

#[test]
fn limits_close_an_epoch_and_the_next_goes_on() {
    let mut world = World::new(|settings| settings.limits.objects_per_commit = 2);
    for key in ["a/1.csv", "a/2.csv", "a/3.csv", "a/4.csv"] {
        world.put(key, b"x");
    }
    let ran = world.run().unwrap();
    assert_eq!(keys(&ran), [["a/1.csv", "a/2.csv"], ["a/3.csv", "a/4.csv"]]);
    let reached: Vec<Option<&str>> = ran.plans.iter().map(|plan| plan.listed_to.as_deref()).collect();
    assert_eq!(reached, [Some("a/2.csv"), None], "the listing ends with the last object: no empty epoch is due");

    let mut world = World::new(|settings| settings.limits.bytes_per_commit = 10);
    for (key, size) in [("a/1.csv", 20), ("a/2.csv", 5), ("a/3.csv", 5), ("a/4.csv", 1)] {
        world.put(key, &vec![b'x'; size]);
    }
    assert_eq!(keys(&world.run().unwrap()), [&["a/1.csv"][..], &["a/2.csv", "a/3.csv"], &["a/4.csv"]]);
}

#[test]
fn overwrites_follow_the_rule() {
    for (rule, expected) in [(OnOverwrite::Reprocess, vec![vec!["a/1.csv"]]), (OnOverwrite::Ignore, vec![vec![]])] {
        let mut world = World::new(|settings| settings.incremental.on_overwrite = rule);
        world.put("a/1.csv", b"x");
        world.run().unwrap();
        world.put("a/1.csv", b"y");
        assert_eq!(keys(&world.run().unwrap()), expected, "{rule:?}");
        // Ignored once is ignored for good, also under another rule.
        world.settings.incremental.on_overwrite = OnOverwrite::Reprocess;
        assert_eq!(world.run().unwrap().epochs.len(), 0, "{rule:?}");
    }
    let mut world = World::new(|settings| settings.incremental.on_overwrite = OnOverwrite::Fail);
    world.put("a/1.csv", b"x");
    world.run().unwrap();
    world.put("a/1.csv", b"y");
    fails(
        &mut world,
        RunErrorKind::BadData,
        "data/orders: memory://raw/a/1.csv: it was overwritten after it had been read, and incremental.onOverwrite is Fail: put the old \
         version back, or set Reprocess or Ignore",
    );
}

#[test]
fn replace_reads_everything_or_nothing() {
    let mut world = World::new(|settings| {
        settings.destination.write_mode = WriteMode::Replace;
        settings.limits.objects_per_commit = 1;
    });
    fails(
        &mut world,
        RunErrorKind::BadData,
        "data/orders: nothing to read under memory://raw/, and writeMode Replace would leave an empty destination: correct source.prefix \
         or source.include, or set destination.allowEmpty",
    );
    world.put("a/1.csv", b"x");
    world.put("a/2.csv", b"x");
    assert_eq!(keys(&world.run().unwrap()), [["a/1.csv", "a/2.csv"]], "limits do not cut it");
    assert_eq!(world.run().unwrap().epochs.len(), 0);
    world.put("a/3.csv", b"x");
    assert_eq!(keys(&world.run().unwrap()), [["a/1.csv", "a/2.csv", "a/3.csv"]]);
    world.remove("a/1.csv");
    assert_eq!(keys(&world.run().unwrap()), [["a/2.csv", "a/3.csv"]]);
    world.settings.destination.lineage = true;
    assert_eq!(keys(&world.run().unwrap()), [["a/2.csv", "a/3.csv"]], "other settings make other files");
    world.settings.worker.replicas = 3;
    assert_eq!(world.run().unwrap().epochs.len(), 0, "how the work is spread makes no other rows");
    world.remove("a/2.csv");
    world.remove("a/3.csv");
    assert_eq!(world.run().unwrap_err().kind, RunErrorKind::BadData);
    world.settings.destination.allow_empty = true;
    assert_eq!(keys(&world.run().unwrap()), [[""; 0]]);
    assert_eq!(world.run().unwrap().epochs.len(), 0);
    assert_eq!(world.ledger().len(), 0);
}

#[test]
fn without_a_ledger_each_run_reads_everything_once() {
    let mut world = World::new(|settings| {
        settings.incremental.enabled = false;
        settings.limits.objects_per_commit = 1;
    });
    world.put("a/1.csv", b"x");
    world.put("a/2.csv", b"x");
    for _ in 0..2 {
        assert_eq!(keys(&world.run().unwrap()), [["a/1.csv"], ["a/2.csv"]]);
        assert!(world.epoch().unwrap().is_none(), "another pass of the same run finds them accounted for");
    }
}

#[test]
fn two_sources_of_one_table_are_an_error() {
    let collision = "data/orders: \"a-b/\" and \"a_b/\" are both named table \"a_b\": rename one, exclude one, or set tables.from to Fixed to \
                     make them one table";
    for objects_per_commit in [10, 1] {
        let mut world = World::new(|settings| settings.limits.objects_per_commit = objects_per_commit);
        world.put("a-b/1.csv", b"x");
        world.put("a_b/1.csv", b"x");
        fails(&mut world, RunErrorKind::BadData, collision);
        // What an epoch took before stands; a table whose first source is gone may move.
        world.remove("a-b/1.csv");
        assert_eq!(keys(&world.run().unwrap()), [["a_b/1.csv"]], "{objects_per_commit}");
    }
}

#[test]
fn keys_without_a_table_or_a_format_are_errors() {
    let mut world =
        World::new(|settings| settings.source.tables = TableRule::Pattern { pattern: "^(?<table>[^/]+)/".into() });
    world.put("root.csv", b"x");
    fails(
        &mut world,
        RunErrorKind::BadData,
        "data/orders: \"root.csv\" names no table: tables.pattern does not match it, widen the pattern or exclude the object",
    );
    let mut world = World::new(|settings| settings.source.include = vec![Glob::new("**").unwrap()]);
    world.put("a/README", b"x");
    fails(
        &mut world,
        RunErrorKind::BadData,
        "data/orders: memory://raw/a/README: its extension names no format: set source.format, or leave it out with source.exclude",
    );
}

#[test]
fn tables_that_are_left_out_are_read_once_they_are_in() {
    let mut world = World::new(|settings| settings.source.table_include = vec![Glob::new("a").unwrap()]);
    world.put("a/1.csv", b"x");
    world.put("b/1.csv", b"x");
    assert_eq!(keys(&world.run().unwrap()), [["a/1.csv"]]);
    world.settings.source.table_include.clear();
    assert_eq!(keys(&world.run().unwrap()), [["b/1.csv"]]);
}

#[test]
fn a_schema_is_sampled_from_the_first_the_largest_and_the_last() {
    let mut world = World::new(|_| {});
    for (key, size) in
        [("a/1.csv", 1), ("a/2.csv", 9), ("a/3.csv", 5), ("a/4.csv", 2), ("b/1.csv", 1), ("c/1.csv", 1), ("c/2.csv", 9)]
    {
        world.put(key, &vec![b'x'; size]);
    }
    let ran = world.run().unwrap();
    let mut asked = std::mem::take(&mut *world.sampler.0.lock().unwrap());
    asked.sort();
    let expected = [("a", &["a/1.csv", "a/2.csv", "a/4.csv"][..]), ("b", &["b/1.csv"]), ("c", &["c/1.csv", "c/2.csv"])];
    let expected: Vec<(String, Vec<String>)> = expected
        .iter()
        .map(|(table, keys)| ((*table).to_owned(), keys.iter().map(|key| (*key).to_owned()).collect()))
        .collect();
    assert_eq!(asked, expected);
    let tables: Vec<(&str, &str, u64, u64)> = ran.plans[0]
        .tables
        .iter()
        .map(|table| (table.name.as_str(), table.source.as_str(), table.objects, table.bytes))
        .collect();
    assert_eq!(tables, [("a", "a/", 4, 17), ("b", "b/", 1, 1), ("c", "c/", 2, 10)]);

    world.settings.schema.mode = SchemaMode::Declared;
    world.settings.schema.columns =
        vec![ColumnRule { name: "id".into(), data_type: Some(DataType::Int64), from: None }];
    world.put("d/1.csv", b"x");
    world.run().unwrap();
    assert!(world.sampler.0.lock().unwrap().is_empty(), "declared columns need no sample");
}

#[test]
fn a_dry_run_says_what_a_run_would_do() {
    let mut world = World::new(|_| {});
    world.put("a/1.csv", b"x");
    world.put("a/2.csv", b"x");
    world.run().unwrap();
    world.put("a/2.csv", b"y");
    world.put("b/1.csv", b"x");
    let before = world.destination.keys();
    let row = |key: &str, table: &str, action| (key.to_owned(), table.to_owned(), action);
    assert_eq!(
        world.shown().unwrap(),
        [row("a/2.csv", "a", Why::Overwritten), row("b/1.csv", "b", Why::New)],
        "a/1.csv is known"
    );
    let objects: Vec<u64> = world.preview().unwrap().tables.values().map(|table| table.objects).collect();
    assert_eq!(objects, [2, 1]);
    assert_eq!(world.destination.keys(), before);
    assert_eq!(keys(&world.run().unwrap()), [["a/2.csv", "b/1.csv"]]);

    world.settings.destination.write_mode = WriteMode::Replace;
    assert_eq!(world.shown().unwrap().len(), 3);
    world.run().unwrap();
    assert_eq!(world.shown().unwrap(), []);
    assert_eq!(world.preview().unwrap().tables.len(), 2);
}

/// Whatever stops a run before it has a plan stops its dry run with the same words.
#[test]
fn a_dry_run_refuses_what_a_run_refuses() {
    let moved = |world: &mut World| {
        world.put("a-b/1.csv", b"x");
        world.run().unwrap();
        world.put("a_b/1.csv", b"x");
        let window = Window { from_key: Some("a_b/".into()), ..Window::default() };
        world.request = Some(Request { id: "one".into(), asked: Asked { window, reread: false } });
    };
    let second_table = |world: &mut World| {
        world.settings.destination.template = Template::parse("all/{{UUID}}.{{FORMAT}}").unwrap();
        world.put("a/1.csv", b"x");
        world.run().unwrap();
        world.remove("a/1.csv");
        world.put("b/1.csv", b"x");
    };
    let overwritten = |world: &mut World| {
        world.settings.incremental.on_overwrite = OnOverwrite::Fail;
        world.put("a/1.csv", b"x");
        world.run().unwrap();
        world.put("a/1.csv", b"y");
    };
    let no_format = |world: &mut World| {
        world.settings.source.include = vec![Glob::new("**").unwrap()];
        world.put("a/README", b"x");
    };
    let no_table = |world: &mut World| {
        world.settings.source.tables = TableRule::Pattern { pattern: "^(?<table>[^/]+)/".into() };
        world.put("root.csv", b"x");
    };
    let two_tables = |world: &mut World| {
        world.settings.destination.template = Template::parse("all/{{UUID}}.{{FORMAT}}").unwrap();
        world.put("a/1.csv", b"x");
        world.put("b/1.csv", b"x");
    };
    type Prepare = fn(&mut World);
    let cases: [(&str, Prepare); 6] = [
        ("are both named table", moved),
        ("the objects make several tables (a, b and so on)", second_table),
        ("onOverwrite is Fail", overwritten),
        ("names no format", no_format),
        ("names no table", no_table),
        ("the objects make several tables (a, b and so on)", two_tables),
    ];
    for (expected, prepare) in cases {
        let mut world = World::new(|_| {});
        prepare(&mut world);
        let looked = world.preview().unwrap_err();
        let ran = world.run().unwrap_err();
        assert!(ran.message.contains(expected), "{ran}");
        assert_eq!((looked.kind, looked.message), (ran.kind, ran.message));
    }
}

/// Its first bytes are asked for, and whatever they cannot be had for is for the read to report by its rules.
#[test]
fn a_large_object_that_cannot_be_looked_at_is_planned() {
    let large = || {
        let world = World::new(|settings| settings.worker.replicas = 2);
        world.put("a/1.jsonl", &vec![b'\n'; 40 << 20]);
        world
    };
    for kind in [ErrorKind::Archived, ErrorKind::Changed, ErrorKind::NotFound] {
        let mut world = large();
        world.faults = Faults::new(on("get", Fault::Before(kind)));
        assert_eq!(world.run().unwrap().plans[0].shards.len(), 2, "{kind:?}");
    }
    let mut world = large();
    world.faults = Faults::new(on("get", Fault::Before(ErrorKind::Unavailable)));
    assert_eq!(world.run().unwrap_err().kind, RunErrorKind::Failed, "a server that does not answer");
}

#[test]
fn what_turns_out_compressed_is_not_sliced() {
    for (first, shards) in [(&b"{\"a\""[..], 2), (&[0x1f, 0x8b, 8, 0][..], 1)] {
        let mut world = World::new(|settings| settings.worker.replicas = 2);
        let mut content = vec![b'\n'; 40 << 20];
        content[..4].copy_from_slice(first);
        world.put("a/1.jsonl", &content);
        assert_eq!(world.run().unwrap().plans[0].shards.len(), shards, "{first:?}");
    }
}
