//! Rows that come as whole row groups of stored parquet.

use std::num::NonZeroU64;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;

use super::fixtures::*;
use crate::codec::Passthrough;
use crate::codec::decode::object::{ObjectOptions, whole};
use crate::model::format::Decoding;
use crate::pipeline::layout::*;

const GROUP_ROWS: i64 = 1000;

/// A parquet object of four row groups, and its rows in batches of 300.
fn stored() -> (Bytes, Vec<Input>) {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
    let properties =
        WriterProperties::builder().set_compression(zstd).set_max_row_group_row_count(Some(GROUP_ROWS as usize));
    let batch = rows(0, 4 * GROUP_ROWS, 5);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let bytes = Bytes::from(bytes);
    let passthrough = Some(Passthrough { codec: zstd, bytes_min: 1 });
    let options = ObjectOptions { rows_per_batch: 300, passthrough, ..whole::options(&bytes) };
    let mut inputs: Vec<Input> = Vec::new();
    for decoded in whole::decode(Decoding::Parquet, &bytes, options, table_schema(), 1 << 20).unwrap() {
        let [rows] = decoded.rows.as_slice() else { panic!("one batch at a time") };
        let (index, object) = (0, object("a/1.parquet", 0));
        inputs.push(Input { index, object, first_row: 1, rows: rows.clone() });
    }
    (bytes, inputs)
}

/// A plan by which row groups of 1,000 rows are large enough.
fn taking(change: impl FnOnce(&mut Plan)) -> Arc<Plan> {
    plan(|plan| {
        plan.layout_bytes = 64 << 10;
        change(plan);
    })
}

/// The chunks of the text column that are the object's own.
fn taken(made: &Made, object: &Bytes) -> usize {
    let chunks = |bytes: &Bytes| -> Vec<Bytes> {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(bytes).unwrap();
        let ranges = metadata.row_groups().iter().map(|group| group.column(3).byte_range());
        ranges.map(|(start, length)| bytes.slice(start as usize..(start + length) as usize)).collect()
    };
    let theirs = chunks(object);
    chunks(&Bytes::from(made.bytes.clone())).iter().filter(|chunk| theirs.contains(chunk)).count()
}

fn ids(made: &[Made]) -> Vec<i64> {
    made.iter().flat_map(|made| read(made).column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[test]
fn row_groups_become_row_groups() {
    let (object, inputs) = stored();
    let made = lay_out(&taking(|_| ()), &inputs, 2, None).unwrap();
    let [file] = made.as_slice() else { panic!("{} files", made.len()) };
    assert_eq!(read(file), rows(0, 4 * GROUP_ROWS, 5));
    assert_eq!(taken(file, &object), 4);
    assert_eq!(lay_out(&taking(|_| ()), &inputs, 1, None).unwrap(), made, "threads do not change a byte");
    assert_eq!(lay_out(&taking(|_| ()), &inputs, 1, Some(vec![recorded(file)])).unwrap(), made, "nor does a rebuild");
}

/// Where a file has to end inside of a row group, that one is encoded.
#[test]
fn a_limit_of_rows_holds() {
    let (object, inputs) = stored();
    let plan = taking(|plan| plan.settings.destination.file_rows_max = NonZeroU64::new(1500));
    let made = lay_out(&plan, &inputs, 2, None).unwrap();
    assert_eq!(made.iter().map(|made| made.end.statistics.rows).collect::<Vec<_>>(), [1500, 1500, 1000]);
    assert_eq!(ids(&made), (0..4 * GROUP_ROWS).collect::<Vec<_>>());
    assert_eq!(made.iter().map(|made| taken(made, &object)).collect::<Vec<_>>(), [1, 1, 1]);
    let again = lay_out(&taking(|_| ()), &inputs, 2, Some(vec![recorded(&made[1])])).unwrap();
    assert_eq!(again, [made[1].clone()], "recorded rows decide, also what is taken");
}

#[test]
fn files_end_by_their_bytes_behind_a_row_group() {
    let (object, inputs) = stored();
    let Rows::RowGroup(first) = &inputs[0].rows else { panic!("they come as they are stored") };
    let group_bytes = first.group.stored_bytes();
    let plan = taking(|plan| plan.settings.destination.target_file_bytes = NonZeroU64::new(8 * group_bytes));
    let inputs = [&inputs[..], &inputs[..], &inputs[..]].concat();
    let made = lay_out(&plan, &inputs, 2, None).unwrap();
    assert!(
        made.len() == 2 && made[0].end.statistics.rows.is_multiple_of(GROUP_ROWS as u64),
        "{:?}",
        made.iter().map(|made| &made.end).collect::<Vec<_>>()
    );
    assert_eq!(made.iter().map(|made| taken(made, &object)).sum::<usize>(), 12);
}
