//! Without partitions.

use std::num::NonZeroU64;

use arrow::array::AsArray;
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::fixtures::*;
use crate::model::plan::Slice;
use crate::model::template::Template;
use crate::pipeline::layout::LayoutError;

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

#[test]
fn rows_become_one_file_a_table_in_order() {
    let plan = plan(|_| ());
    let inputs = [
        input(0, object("a/1.csv", 0), rows(0, 1000, 5)),
        input(1, object("a/2.csv", 0), rows(1000, 1500, 5)),
        input(2, object("b/1.csv", 1), rows(7, 9, 5)),
    ];
    let made = lay_out(&plan, &inputs, 2, None).unwrap();
    let keys: Vec<_> =
        made.iter().map(|made| (made.file.key.as_str(), made.end.statistics.rows, made.end.objects)).collect();
    assert_eq!(keys, [("a/7-00003-00000.parquet", 1500, (0, 1)), ("b/7-00003-00000.parquet", 2, (2, 2))]);
    assert_eq!(read(&made[0]), rows(0, 1500, 5));
    assert_eq!(read(&made[1]), rows(7, 9, 5));
}

#[test]
fn nothing_pushed_makes_no_file() {
    let made = lay_out(&plan(|_| ()), &[input(0, object("a/1.csv", 0), rows(0, 0, 5))], 1, None).unwrap();
    assert_eq!(made, []);
}

#[test]
fn a_file_closes_at_exactly_its_rows() {
    let plan = plan(|plan| plan.settings.destination.file_rows_max = NonZeroU64::new(700));
    let inputs =
        [input(0, object("a/1.csv", 0), rows(0, 1000, 5)), input(1, object("a/2.csv", 0), rows(1000, 2000, 5))];
    let made = lay_out(&plan, &inputs, 1, None).unwrap();
    let ends: Vec<_> =
        made.iter().map(|made| (made.end.first_row, made.end.statistics.rows, made.end.objects)).collect();
    assert_eq!(ends, [(0, 700, (0, 0)), (700, 700, (0, 1)), (1400, 600, (1, 1))]);
    let all: Vec<_> = made.iter().map(read).collect();
    assert_eq!(concat_batches(&table_schema().arrow(), &all).unwrap(), rows(0, 2000, 5));
}

#[test]
fn a_file_closes_near_its_bytes() {
    let plan = plan(|plan| plan.settings.destination.target_file_bytes = NonZeroU64::new(100_000));
    let inputs: Vec<_> =
        (0..40).map(|at| input(0, object("a/1.csv", 0), rows(at * 2000, (at + 1) * 2000, 5))).collect();
    let made = lay_out(&plan, &inputs, 2, None).unwrap();
    assert!(made.len() > 5, "{} files", made.len());
    for made in &made[..made.len() - 1] {
        // An open page counts uncompressed, so a file may end early; it never ends late by more than a step.
        assert!((30_000..115_000).contains(&made.bytes.len()), "{} bytes", made.bytes.len());
    }
    assert_eq!(made.iter().map(|made| made.end.statistics.rows).sum::<u64>(), 80_000);
}

#[test]
fn threads_do_not_change_a_byte() {
    let plan = plan(|plan| {
        plan.settings.destination.target_file_bytes = NonZeroU64::new(300_000);
        plan.settings.destination.lineage = true;
        plan.layout_bytes = 100_000;
    });
    let inputs: Vec<_> =
        (0..30).map(|at| input(0, object("a/1.csv", 0), rows(at * 3000, (at + 1) * 3000, 50))).collect();
    let one = lay_out(&plan, &inputs, 1, None).unwrap();
    assert_eq!(one, lay_out(&plan, &inputs, 2, None).unwrap());
    assert!(one.len() > 2);
}

#[test]
fn row_groups_close_at_their_limits() {
    let groups = |change: fn(&mut crate::model::plan::Plan)| -> Vec<i64> {
        let inputs = [
            input(0, object("a/1.csv", 0), rows(0, 50_000, 5)),
            input(0, object("a/1.csv", 0), rows(50_000, 100_000, 5)),
        ];
        let made = lay_out(&plan(change), &inputs, 2, None).unwrap();
        assert_eq!(made.len(), 1);
        assert_eq!(read(&made[0]), rows(0, 100_000, 5));
        let reader = SerializedFileReader::new(bytes::Bytes::from(made[0].bytes.clone())).unwrap();
        reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect()
    };
    assert_eq!(groups(|_| ()), [100_000]);
    assert_eq!(
        groups(|plan| plan.settings.destination.parquet.row_group_rows = 30_000),
        [30_000, 30_000, 30_000, 10_000]
    );
    assert_eq!(groups(|plan| plan.settings.destination.parquet.row_group_bytes = 1000), [50_000, 50_000]);
    assert_eq!(groups(|plan| plan.layout_bytes = 1000), [50_000, 50_000]);
}

#[test]
fn files_name_the_sync_and_the_epoch() {
    let made = lay_out(&plan(|_| ()), &[input(0, object("a/1.csv", 0), rows(0, 10, 5))], 1, None).unwrap();
    let reader = SerializedFileReader::new(bytes::Bytes::from(made[0].bytes.clone())).unwrap();
    let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let value = |key: &str| pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone()).unwrap();
    assert_eq!(
        (value("s3sync.sync"), value("s3sync.table"), value("s3sync.epoch")),
        ("data/orders".into(), "a".into(), "7".into())
    );
    let column = reader.metadata().row_group(0).column(0);
    assert!(
        column.statistics().is_some()
            && column.column_index_offset().is_some()
            && column.offset_index_offset().is_some()
    );
}

#[test]
fn recorded_files_are_made_again_byte_by_byte() {
    let inputs: Vec<_> = (0..10)
        .map(|at| input(at, object(&format!("a/{at}.csv"), 0), rows(i64::from(at) * 100, i64::from(at + 1) * 100, 5)))
        .collect();
    let first = plan(|plan| plan.settings.destination.file_rows_max = NonZeroU64::new(130));
    let made = lay_out(&first, &inputs, 1, None).unwrap();
    // Other limits: the recorded rows decide.
    let other = plan(|plan| plan.settings.destination.file_rows_max = NonZeroU64::new(77));
    let wanted = vec![recorded(&made[5]), recorded(&made[2])];
    let again = lay_out(&other, &inputs, 1, Some(wanted)).unwrap();
    assert_eq!(again, [made[2].clone(), made[5].clone()]);
    let beyond = lay_out(&other, &inputs[..3], 1, Some(vec![recorded(&made[5])]));
    assert_eq!(
        beyond.unwrap_err().to_string(),
        "the objects give no rows for 1 recorded files: an object was read differently than before"
    );
    let short = lay_out(&other, &inputs[..7], 1, Some(vec![recorded(&made[5])]));
    assert_eq!(
        short.unwrap_err().to_string(),
        "table a gives 80 rows fewer than were recorded: an object was read differently than before"
    );
}

#[test]
fn each_object_has_its_own_files_where_the_template_says_so() {
    let plan = plan(|plan| plan.settings.destination.template = template("x/{{SOURCE_DIR}}/{{SOURCE_STEM}}.parquet"));
    let inputs = [
        input(0, object("a/1.csv.gz", 0), rows(0, 10, 5)),
        input(0, object("a/1.csv.gz", 0), rows(10, 20, 5)),
        input(1, object("2.csv", 0), rows(20, 25, 5)),
    ];
    let made = lay_out(&plan, &inputs, 1, None).unwrap();
    let keys: Vec<_> =
        made.iter().map(|made| (made.file.key.as_str(), made.end.first_row, made.end.statistics.rows)).collect();
    assert_eq!(keys, [("x/a/1.parquet", 0, 20), ("x/2.parquet", 20, 5)]);
}

#[test]
fn a_slice_shares_no_file() {
    let sliced = |key: &str| {
        let mut object = object(key, 0);
        object.slice = Some(Slice::Bytes { start: 0, end: 1 });
        object
    };
    let inputs = [
        input(0, object("a/0", 0), rows(0, 1, 5)),
        input(1, sliced("a/1"), rows(1, 2, 5)),
        input(1, sliced("a/1"), rows(2, 3, 5)),
        input(2, object("a/2", 0), rows(3, 4, 5)),
        input(3, object("a/3", 0), rows(4, 5, 5)),
    ];
    let made = lay_out(&plan(|_| ()), &inputs, 1, None).unwrap();
    let objects: Vec<_> = made.iter().map(|made| made.end.objects).collect();
    assert_eq!(objects, [(0, 0), (1, 1), (2, 3)]);
}

#[test]
fn one_file_takes_everything_or_says_so() {
    let change = |plan: &mut crate::model::plan::Plan| {
        plan.settings.destination.template = template("{{TABLE}}.parquet");
        plan.settings.destination.file_rows_max = NonZeroU64::new(10);
    };
    let inputs = [input(0, object("a/1", 0), rows(0, 100, 5)), input(1, object("b/1", 1), rows(0, 100, 5))];
    let made = lay_out(&plan(change), &inputs, 1, None).unwrap();
    assert_eq!(made.iter().map(|made| made.file.key.as_str()).collect::<Vec<_>>(), ["a.parquet", "b.parquet"]);
    let tiny_parts = plan(|plan| {
        change(plan);
        plan.part_bytes = 0;
    });
    assert!(matches!(lay_out(&tiny_parts, &inputs, 1, None), Err(LayoutError::TooLarge { table }) if table == "a"));
}

#[test]
fn lineage_says_where_rows_came_from() {
    let plan = plan(|plan| plan.settings.destination.lineage = true);
    let mut second = input(0, object("a/1", 0), rows(2, 4, 5));
    second.first_row = 3;
    let inputs = [input(0, object("a/1", 0), rows(0, 2, 5)), second, input(1, object("a/2", 0), rows(4, 5, 5))];
    let made = lay_out(&plan, &inputs, 1, None).unwrap();
    let batch = read(&made[0]);
    let keys: Vec<_> = batch.column(4).as_string::<i32>().iter().flatten().collect();
    assert_eq!(keys, ["a/1", "a/1", "a/1", "a/1", "a/2"]);
    assert_eq!(batch.column(6).as_primitive::<Int64Type>().values(), &[1, 2, 3, 4, 1]);
    let time = object("a/1", 0).object.last_modified.as_microsecond();
    assert!(batch.column(5).as_primitive::<TimestampMicrosecondType>().values().iter().all(|value| *value == time));
}

#[test]
fn keys_beyond_the_limit_are_refused() {
    let plan = plan(|plan| plan.settings.destination.template = template("{{SOURCE_DIR}}/{{UUID}}"));
    let error =
        lay_out(&plan, &[input(0, object(&format!("{}/x", "d".repeat(1010)), 0), rows(0, 1, 5))], 1, None).unwrap_err();
    assert!(error.to_string().contains("has 1047 bytes, more than the 1024"), "{error}");
}
