//! Slices, stretches, and where batches are cut.

use arrow::array::{Int64Array, StringArray};
use proptest::prelude::*;

use super::*;
use crate::model::plan::Slice;

/// Ten row groups of two columns.
fn ten_groups() -> Bytes {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
    let texts: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..1000).map(|i| format!("{:0>w$}", i, w = 1 + i % 50))));
    object(vec![("n", numbers), ("t", texts)], plainly().set_max_row_group_row_count(Some(100)))
}

proptest! {
    #[test]
    fn slices_that_cover_an_object_have_every_row_group_once(
        mut cuts in proptest::collection::vec(0_u64..30_000, 0..6),
    ) {
        let object = ten_groups();
        let metadata = footer(&object).unwrap();
        prop_assert_eq!(metadata.num_row_groups(), 10);
        cuts.extend([0, object.len() as u64]);
        cuts.retain(|&cut| cut <= object.len() as u64);
        cuts.sort_unstable();
        let slices = cuts.windows(2).map(|cut| Slice::RowGroups { start: cut[0], end: cut[1] });
        let groups: Vec<usize> = slices.flat_map(|slice| row_groups(&metadata, Some(slice))).collect();
        prop_assert_eq!(groups, (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn stretches_are_the_wanted_chunks_and_nothing_else_is_read() {
    let object = ten_groups();
    let metadata = footer(&object).unwrap();
    let table = schema(&metadata).unwrap();
    let both = stretches(&metadata, 3, &table, &[]).unwrap();
    assert_eq!(both.len(), 2);
    assert_eq!(both[0].end, both[1].start);
    assert_eq!(stretches(&metadata, 3, &table, &["n".into()]).unwrap(), both[1..]);

    // Everything outside of the stretches is overwritten, and decoding gives the same.
    let mut cut = vec![0xAA; object.len()];
    let wanted = TableSchema { columns: table.columns[..1].to_vec(), ..table.clone() };
    for range in (0..10).flat_map(|group| stretches(&metadata, group, &wanted, &["t".into()]).unwrap()) {
        let range = range.start as usize..range.end as usize;
        cut[range.clone()].copy_from_slice(&object[range]);
    }
    let rows = read_from(Bytes::from(cut), metadata.clone(), &wanted, &["t"], 64).unwrap();
    assert_eq!(rows.rows.unwrap().column(0).as_ref(), &Int64Array::from_iter_values(0..1000));
    // Batches never span row groups.
    assert_eq!(rows.batch_rows, [64, 36].repeat(10));
}

#[test]
fn an_object_without_any_wanted_column_still_has_its_rows() {
    let object = ten_groups();
    let metadata = footer(&object).unwrap();
    let table = TableSchema {
        columns: vec![crate::model::schema::Column::inferred("later", DataType::Int64)],
        ..TableSchema::default()
    };
    let stretch = stretches(&metadata, 0, &table, &["n".into(), "t".into()]).unwrap();
    assert_eq!(stretch.len(), 1);
    let all = read_from(object.clone(), metadata, &table, &["n", "t"], 1000).unwrap();
    assert_eq!(all.rows.unwrap().column(0).null_count(), 1000);

    // Where the table's columns are declared, it is another kind of object.
    let declared = TableSchema { unknown: crate::model::schema::Unknown::Ignore, ..table };
    let error = read(&object, &declared).unwrap_err().to_string();
    assert!(error.contains("none of the columns that schema.columns declares (later), but n, t"), "{error}");
}

#[test]
fn long_values_make_small_batches_also_from_a_dictionary() {
    let long = "x".repeat(200_000);
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..200).map(|i| format!("{}{long}", i % 2))));
    for dictionary in [true, false] {
        let object = object(
            vec![("t", texts.clone())],
            plainly().set_dictionary_enabled(dictionary).set_write_batch_size(1).set_data_page_size_limit(500_000),
        );
        let table = schema(&footer(&object).unwrap()).unwrap();
        let all = read_from(object.clone(), footer(&object).unwrap(), &table, &[], 1000).unwrap();
        assert_eq!(all.batch_rows.iter().sum::<usize>(), 200);
        assert!(all.batch_rows.iter().all(|&rows| rows * long.len() <= BATCH_BYTES as usize), "{:?}", all.batch_rows);
        assert_eq!(all.rows.unwrap().column(0), &texts);
    }
}

#[test]
fn rows_per_batch_changes_nothing_but_the_cuts() {
    let object = ten_groups();
    let metadata = footer(&object).unwrap();
    let table = schema(&metadata).unwrap();
    let expected = read(&object, &table).unwrap().rows;
    for rows_per_batch in [1, 7, 100, 8192] {
        let all = read_from(
            Trickle { object: object.clone(), window_bytes: 5 },
            metadata.clone(),
            &table,
            &[],
            rows_per_batch,
        );
        let all = all.unwrap();
        assert_eq!(all.rows, expected);
        assert!(all.batch_rows.iter().all(|&rows| rows <= rows_per_batch));
    }
}
