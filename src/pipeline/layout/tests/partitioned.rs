//! With hive partitions.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::fixtures::*;
use crate::model::manifest::StagedFile;
use crate::model::plan::Plan;
use crate::model::scalar::Scalar;
use crate::model::settings::{PartitionRule, PartitionTransform};
use crate::model::template::Template;
use crate::pipeline::layout::LayoutError;

fn rule(column: &str, transform: Option<PartitionTransform>, name: &str) -> PartitionRule {
    PartitionRule { column: column.into(), transform, name: name.into() }
}

fn by_country(plan: &mut Plan) {
    plan.settings.destination.partition_by = vec![rule("country", None, "country")];
}

fn inputs(count: i64, rows_each: i64, countries: i64) -> Vec<Input> {
    (0..count)
        .map(|at| {
            input(
                at as u32,
                object(&format!("a/{at:03}.csv"), 0),
                rows(at * rows_each, (at + 1) * rows_each, countries),
            )
        })
        .collect()
}

/// The ids of each partition's rows, in file order.
fn ids(made: &[Made]) -> BTreeMap<String, Vec<i64>> {
    let mut ids: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for made in made {
        let batch = read(made);
        ids.entry(made.file.partition.path.to_string())
            .or_default()
            .extend(batch.column(0).as_primitive::<Int64Type>().values());
    }
    ids
}

/// The same from the inputs, by a rule as simple as can be.
fn expected(inputs: &[Input]) -> BTreeMap<String, Vec<i64>> {
    let mut ids: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for input in inputs {
        let (id, country) =
            (input.rows.batch().column(0).as_primitive::<Int64Type>(), input.rows.batch().column(2).as_string::<i32>());
        for (id, country) in id.values().iter().zip(country) {
            let value = country.filter(|country| !country.is_empty()).unwrap_or("__HIVE_DEFAULT_PARTITION__");
            ids.entry(format!("country={value}")).or_default().push(*id);
        }
    }
    ids
}

#[test]
fn rows_go_to_their_directories_and_the_column_leaves() {
    let inputs = inputs(3, 1000, 4);
    let made = lay_out(&plan(by_country), &inputs, 2, None).unwrap();
    let keys: Vec<_> = made.iter().map(|made| made.file.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "a/country=__HIVE_DEFAULT_PARTITION__/7-00003-00000.parquet",
            "a/country=c0/7-00003-00000.parquet",
            "a/country=c1/7-00003-00000.parquet",
            "a/country=c2/7-00003-00000.parquet",
            "a/country=c3/7-00003-00000.parquet",
        ]
    );
    assert_eq!(ids(&made), expected(&inputs));
    let batch = read(&made[1]);
    let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["id", "ts", "text"]);
    let id = batch.column(0).as_primitive::<Int64Type>().value(5);
    assert_eq!(batch.slice(5, 1), rows(id, id + 1, 4).project(&[0, 1, 3]).unwrap(), "values stay together");
    assert_eq!(made[1].end.objects, (0, 2));
}

#[test]
fn transforms_are_calendar_parts_in_utc() {
    let made = |transform, name: &str| -> Vec<String> {
        let plan = plan(|plan| plan.settings.destination.partition_by = vec![rule("ts", Some(transform), name)]);
        // Two rows: 1970-01-01T00:00 and, 4,000 rows of 864 seconds later, 1970-02-10T00:00; then 40 rows, 9.6 hours,
        // on.
        let batches = [rows(0, 1, 5), rows(4000, 4001, 5), rows(4040, 4041, 5)];
        let batch = concat_batches(&table_schema().arrow(), &batches).unwrap();
        let made = lay_out(&plan, &[input(0, object("a/1", 0), batch)], 1, None).unwrap();
        assert!(made.iter().all(|made| read(made).schema().index_of("ts").is_ok()), "the column stays");
        made.iter().map(|made| format!("{} {}", made.file.partition.path, made.end.statistics.rows)).collect()
    };
    assert_eq!(made(PartitionTransform::Year, "y"), ["y=1970 3"]);
    assert_eq!(made(PartitionTransform::Month, "month"), ["month=1 1", "month=2 2"]);
    assert_eq!(made(PartitionTransform::Day, "d"), ["d=1 1", "d=10 2"]);
    assert_eq!(made(PartitionTransform::Hour, "h"), ["h=0 2", "h=9 1"]);
    assert_eq!(made(PartitionTransform::Date, "date"), ["date=1970-01-01 1", "date=1970-02-10 2"]);
}

#[test]
fn spilling_changes_no_row_and_threads_change_no_byte() {
    let inputs = inputs(20, 2000, 30);
    let memory = lay_out(&plan(by_country), &inputs, 2, None).unwrap();
    let tiny = plan(|plan| {
        by_country(plan);
        plan.layout_bytes = 400_000;
    });
    let spilled = lay_out(&tiny, &inputs, 1, None).unwrap();
    assert_eq!(ids(&spilled), expected(&inputs));
    assert_eq!(spilled.iter().map(read).collect::<Vec<_>>(), memory.iter().map(read).collect::<Vec<_>>());
    assert_eq!(spilled, lay_out(&tiny, &inputs, 2, None).unwrap());
}

#[test]
fn full_scratch_makes_files_and_goes_on() {
    let inputs = inputs(20, 2000, 3);
    let plan = plan(|plan| {
        by_country(plan);
        plan.layout_bytes = 200_000;
        plan.settings.worker.scratch_bytes = 600_000;
    });
    let made = lay_out(&plan, &inputs, 2, None).unwrap();
    assert_eq!(ids(&made), expected(&inputs));
    let c0: Vec<_> = made.iter().filter(|made| &*made.file.partition.path == "country=c0").collect();
    assert!(c0.len() > 1, "scratch was never full");
    for (at, pair) in c0.windows(2).enumerate() {
        assert_eq!(pair[1].end.first_row, pair[0].end.first_row + pair[0].end.statistics.rows);
        assert_eq!(pair[1].file.key, format!("a/country=c0/7-00003-{:05}.parquet", at + 1));
    }
}

#[test]
fn recorded_files_of_partitions_are_made_again() {
    let inputs = inputs(10, 1000, 6);
    let first = plan(|plan| {
        by_country(plan);
        plan.settings.destination.file_rows_max = NonZeroU64::new(300);
    });
    let made = lay_out(&first, &inputs, 1, None).unwrap();
    let wanted = [&made[3], &made[9]];
    let other = plan(|plan| {
        by_country(plan);
        plan.layout_bytes = 100_000;
    });
    let again = lay_out(&other, &inputs, 2, Some(wanted.map(recorded).to_vec())).unwrap();
    assert_eq!(again.len(), 2);
    for (again, wanted) in again.iter().zip(wanted) {
        assert_eq!(
            (&again.file, again.end.statistics.rows, again.end.first_row),
            (&wanted.file, wanted.end.statistics.rows, wanted.end.first_row)
        );
        assert_eq!(read(again), read(wanted));
    }
}

#[test]
fn each_objects_rows_are_drained_where_files_are_its_own() {
    let plan = plan(|plan| {
        by_country(plan);
        plan.settings.destination.template = Template::parse("{{SOURCE_STEM}}.parquet").unwrap();
    });
    let made = lay_out(&plan, &inputs(2, 10, 2), 1, None).unwrap();
    let keys: Vec<_> = made.iter().map(|made| made.file.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "country=c0/000.parquet",
            "country=c1/000.parquet",
            "country=__HIVE_DEFAULT_PARTITION__/001.parquet",
            "country=c0/001.parquet",
            "country=c1/001.parquet"
        ]
    );
}

#[test]
fn rules_that_cannot_work_are_refused() {
    let refused = |rules: Vec<PartitionRule>| {
        let plan = plan(|plan| plan.settings.destination.partition_by = rules);
        lay_out(&plan, &inputs(1, 10, 2), 1, None).unwrap_err().to_string()
    };
    let year = Some(PartitionTransform::Year);
    for (rules, message) in [
        (
            vec![rule("nope", None, "nope")],
            "partitionBy nope of table a: the table has no such column; it has id, ts, country, text",
        ),
        (
            vec![rule("id", year, "y")],
            "partitionBy id of table a: a transform needs a date or a timestamp, and the column is int64: cast it in schema.columns",
        ),
        (
            vec![rule("ts", year, "Text")],
            "partitionBy Text of table a: another column or partition has this name (case aside); set name in partitionBy",
        ),
        (
            vec![rule("country", None, "c"), rule("ts", year, "C")],
            "partitionBy c of table a: another column or partition has this name (case aside); set name in partitionBy",
        ),
        (
            ["id", "ts", "country", "text"].map(|name| rule(name, None, name)).to_vec(),
            "partitionBy id of table a: no column is left for the files: partition by fewer, or by a transform",
        ),
    ] {
        assert_eq!(refused(rules), message);
    }
}

#[test]
fn too_many_partitions_are_refused() {
    let plan = plan(|plan| plan.settings.destination.partition_by = vec![rule("id", None, "id")]);
    let inputs: Vec<_> =
        (0..11).map(|at| input(0, object("a/1", 0), rows(at * 10_000, (at + 1) * 10_000, 2))).collect();
    let error = lay_out(&plan, &inputs, 2, None).unwrap_err();
    assert!(matches!(&error, LayoutError::TooManyPartitions { example, .. } if example == "id=100000"), "{error}");
}

fn cut(batch: &RecordBatch, cuts: &[usize]) -> Vec<RecordBatch> {
    let mut ends: Vec<usize> =
        cuts.iter().map(|cut| cut % (batch.num_rows() + 1)).chain([0, batch.num_rows()]).collect();
    ends.sort();
    ends.windows(2).map(|pair| batch.slice(pair[0], pair[1] - pair[0])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the limits and however the rows are cut into batches: every row once, in order, and the recorded files
    /// rebuild.
    #[test]
    fn every_row_is_written_once(
        cuts in proptest::collection::vec(0usize..5000, 0..8),
        layout_bytes in 1000u64..400_000,
        file_rows_max in 0u64..3000,
        target_file_bytes in prop_oneof![Just(0), 1000u64..200_000],
        scratch_bytes in 1000u64..1_000_000,
        partitioned in any::<bool>(),
        threads in 1usize..3,
    ) {
        let plan = plan(|plan| {
            if partitioned {
                by_country(plan);
            }
            plan.layout_bytes = layout_bytes;
            plan.settings.destination.file_rows_max = NonZeroU64::new(file_rows_max);
            plan.settings.destination.target_file_bytes = NonZeroU64::new(target_file_bytes);
            plan.settings.worker.scratch_bytes = scratch_bytes;
        });
        let inputs: Vec<Input> = cut(&rows(0, 5000, 12), &cuts).into_iter().enumerate()
            .map(|(at, batch)| input(at as u32, object(&format!("a/{at}"), 0), batch)).collect();
        let made = lay_out(&plan, &inputs, threads, None).unwrap();
        if partitioned {
            prop_assert_eq!(ids(&made), expected(&inputs));
        } else {
            prop_assert_eq!(ids(&made).remove("").unwrap(), (0..5000).collect::<Vec<i64>>());
        }
        if file_rows_max > 0 {
            prop_assert!(made.iter().all(|made| made.end.statistics.rows <= file_rows_max));
        }
        let all: Vec<StagedFile> = made.iter().map(recorded).collect();
        let again = lay_out(&plan, &inputs, threads, Some(all)).unwrap();
        let rows_of = |made: &[Made]| -> BTreeMap<_, _> {
            made.iter().map(|made| (made.file.key.clone(), read(made))).collect()
        };
        prop_assert_eq!(rows_of(&again), rows_of(&made));
    }
}

/// A value that makes a key which the store refuses is bad data, and nothing of the epoch is decided yet.
#[test]
fn a_value_that_makes_too_long_a_name_is_bad_data() {
    let long = |characters: usize| {
        let countries: ArrayRef = Arc::new(StringArray::from(vec!["日".repeat(characters)]));
        let row = rows(0, 1, 1);
        let columns = row.columns().iter().cloned().enumerate();
        let columns = columns.map(|(at, column)| if at == 2 { Arc::clone(&countries) } else { column }).collect();
        let batch = RecordBatch::try_new(table_schema().arrow(), columns).unwrap();
        lay_out(&plan(by_country), &[input(0, object("a/1", 0), batch)], 1, None)
    };
    // `country=` and 82 characters of three bytes are 254.
    assert_eq!(long(82).unwrap().len(), 1);
    for (characters, what) in [(83, "has 257 bytes"), (400, "more than the 1024 that S3 allows")] {
        let error = long(characters).unwrap_err();
        assert_eq!(error.kind(), crate::pipeline::error::RunErrorKind::BadData);
        assert!(error.to_string().contains(what) && error.to_string().ends_with("mend the object"), "{error}");
    }
}

/// What directories show is known as values too: null and the empty text share one directory, and are null.
#[test]
fn a_file_knows_its_partition_by_value() {
    let plan = plan(|plan| {
        by_country(plan);
        let rule = |transform, name: &str| PartitionRule { column: "ts".into(), transform, name: name.into() };
        let rules = [rule(Some(PartitionTransform::Date), "day"), rule(Some(PartitionTransform::Month), "month")];
        plan.settings.destination.partition_by.extend(rules);
    });
    // Rows 17 and 18 have no country: null and an empty text.
    let made = lay_out(&plan, &[input(0, object("a/1", 0), rows(16, 19, 1))], 1, None).unwrap();
    let partitions: Vec<_> =
        made.iter().map(|made| (&*made.file.partition.path, &*made.file.partition.values)).collect();
    let day = [Some(Scalar::Date(0)), Some(Scalar::Int(1))];
    let country = |name: Option<&str>| [&[name.map(|name| Scalar::Text(name.into()))], &day[..]].concat();
    let expected = [
        ("country=__HIVE_DEFAULT_PARTITION__/day=1970-01-01/month=1", &*country(None)),
        ("country=c0/day=1970-01-01/month=1", &*country(Some("c0"))),
    ];
    assert_eq!(partitions, expected);
    assert_eq!(made[0].end.statistics.rows, 2);
}
