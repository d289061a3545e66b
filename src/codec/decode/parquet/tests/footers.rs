//! Footers that others read and write, right and wrong.

use arrow::array::*;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnChunkMetaDataBuilder, ParquetMetaDataWriter};
use parquet::file::properties::EnabledStatistics;

use super::*;

/// The object with another footer's bytes.
fn with_footer(object: &Bytes, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Bytes {
    let length = u32::from_le_bytes(object[object.len() - 8..object.len() - 4].try_into().unwrap()) as usize;
    let (data, rest) = object.split_at(object.len() - 8 - length);
    let footer = change(&rest[..length]);
    [data, &footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat().into()
}

/// The object with other metadata of its column chunks, said to be by this writer.
fn with_columns(
    object: &Bytes,
    created_by: Option<&str>,
    change: impl Fn(ColumnChunkMetaDataBuilder, &ColumnChunkMetaData) -> ColumnChunkMetaDataBuilder,
) -> Bytes {
    let metadata = footer(object).unwrap();
    let file = metadata.file_metadata();
    let groups = metadata.row_groups().iter().map(|group| {
        let columns = group
            .columns()
            .iter()
            .map(|column| change(column.clone().into_builder(), column).build().unwrap())
            .collect();
        group.clone().into_builder().set_column_metadata(columns).build().unwrap()
    });
    let file = parquet::file::metadata::FileMetaData::new(
        file.version(),
        file.num_rows(),
        created_by.or(file.created_by()).map(str::to_owned),
        None,
        file.schema_descr_ptr(),
        None,
    );
    let changed = ParquetMetaData::new(file, groups.collect());
    with_footer(object, |_| {
        let mut written = Vec::new();
        ParquetMetaDataWriter::new(&mut written, &changed).finish().unwrap();
        written[..written.len() - 8].to_vec()
    })
}

fn numbers() -> ArrayRef {
    Arc::new(Int64Array::from_iter((0..50).map(|n| (n % 7 != 0).then_some(n % 5))))
}

#[track_caller]
fn reads_numbers(object: &Bytes) {
    assert_eq!(&column_of(object, "n"), &numbers());
}

#[track_caller]
fn refused(object: &Bytes, expected: &str) {
    let error = footer(object).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

/// parquet-cpp once had a type of its own for columns of nulls.
#[test]
fn a_column_of_nulls_by_an_older_name_is_pending() {
    let now = [0x6c, 0xbc, 0, 0, 0];
    let older = |object: &Bytes| {
        with_footer(object, |footer| {
            let at = footer.windows(now.len()).position(|part| part == now).expect("the null type");
            [&footer[..at], &[0x25, 0x30, 0], &footer[at + now.len()..]].concat()
        })
    };
    let rows = older(&object(vec![("x", Arc::new(NullArray::new(50))), ("n", numbers())], plainly()));
    let table = schema(&footer(&rows).unwrap()).unwrap();
    assert_eq!(table.columns[0].data_type, DataType::Null);
    reads_numbers(&rows);
    let empty = older(&object(vec![("x", Arc::new(NullArray::new(0)))], plainly()));
    assert!(read(&empty, &schema(&footer(&empty).unwrap()).unwrap()).unwrap().rows.is_none());
}

#[test]
fn a_dictionary_page_where_none_can_be_is_none() {
    let plain = object(vec![("n", numbers())], plainly().set_dictionary_enabled(false));
    reads_numbers(&with_columns(&plain, None, |column, _| column.set_dictionary_page_offset(Some(0))));
    let behind = |column: ColumnChunkMetaDataBuilder, old: &ColumnChunkMetaData| {
        column.set_dictionary_page_offset(Some(old.data_page_offset() + 1))
    };
    reads_numbers(&with_columns(&plain, None, behind));
    refused(
        &with_columns(&plain, None, |column, _| column.set_dictionary_page_offset(Some(-4))),
        "its footer is corrupt: column n",
    );
    // One that lies where the data is said to begin needs no offset.
    let dictionary = object(vec![("n", numbers())], plainly());
    let unsaid = |column: ColumnChunkMetaDataBuilder, old: &ColumnChunkMetaData| {
        column.set_data_page_offset(old.dictionary_page_offset().unwrap()).set_dictionary_page_offset(None)
    };
    reads_numbers(&with_columns(&dictionary, None, unsaid));
}

#[test]
fn old_writers_left_a_header_out_of_the_size() {
    // They wrote no page index between the last chunk and the footer.
    let properties = plainly().set_statistics_enabled(EnabledStatistics::Chunk).set_offset_index_disabled(true);
    let object = object(vec![("n", numbers()), ("m", numbers())], properties);
    let short = |column: ColumnChunkMetaDataBuilder, old: &ColumnChunkMetaData| {
        column.set_total_compressed_size(old.compressed_size() - 14)
    };
    let by = |created_by| with_columns(&object, Some(created_by), short);
    for created_by in ["parquet-mr", "parquet-mr version 1.2.8"] {
        reads_numbers(&by(created_by));
        assert_eq!(&column_of(&by(created_by), "m"), &numbers());
    }
    let honest = by("parquet-mr version 1.2.9");
    assert!(read(&honest, &schema(&footer(&honest).unwrap()).unwrap()).is_err());
}

#[test]
fn flat_columns_have_as_many_values_as_rows() {
    let lists: ArrayRef =
        Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>(vec![
            Some(vec![Some(1), Some(2)]);
            50
        ]));
    let object = object(vec![("n", numbers()), ("l", lists)], plainly());
    reads_numbers(&with_columns(&object, None, |column, _| column));
    for values in [0, 49, 51] {
        let contradicting = with_columns(&object, None, |column, old| match old.num_values() {
            50 => column.set_num_values(values),
            _ => column,
        });
        refused(&contradicting, &format!("column n of row group 0 has {values} values for 50 rows"));
    }
}

/// Files that real writers wrote, see `data/README.md`.
#[test]
fn files_of_real_writers_are_read() {
    let offset_zero = Bytes::from_static(include_bytes!("data/dict-page-offset-zero.parquet"));
    let keys = column_of(&offset_zero, "l_partkey");
    assert_eq!((keys.len(), keys.null_count()), (39, 0));
    let nation = Bytes::from_static(include_bytes!("data/nation.dict-malformed.parquet"));
    let names = column_of(&nation, "name");
    let names: Vec<&[u8]> = names.as_binary::<i32>().iter().flatten().collect();
    assert_eq!((names.len(), names[0], names[24]), (25, &b"ALGERIA"[..], &b"UNITED STATES"[..]));
}
