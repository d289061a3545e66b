//! Objects that are not what they claim to be.

use arrow::array::*;
use arrow::datatypes::*;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterVersion;

use super::*;

#[track_caller]
fn refused(object: &[u8], expected: &str) {
    let error = footer(&Bytes::copy_from_slice(object)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

fn small(codec: Compression, version: WriterVersion) -> Bytes {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(3)]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("bcd"), None, Some("a")]));
    let decimals: ArrayRef = Arc::new(Decimal128Array::from(vec![1, 2, 3, 4]).with_precision_and_scale(25, 2).unwrap());
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(4)]),
    ]));
    let properties = plainly().set_compression(codec).set_writer_version(version).set_max_row_group_row_count(Some(3));
    object(vec![("n", numbers), ("t", texts), ("d", decimals), ("l", lists)], properties)
}

#[test]
fn what_is_not_parquet_says_so() {
    refused(b"", "0 bytes are too few");
    refused(b"PAR1PAR1PAR", "11 bytes are too few");
    refused(b"id,name\n1,a\n2,b\n3,c\n", "does not end in PAR1");
    refused(b"PAR1....\x10\0\0\0PARE", "encrypted");
    refused(b"PAR1....\xff\xff\xff\xffPAR1", "claims 4294967295 bytes");
    refused(b"PAR1....\0\0\0\0PAR1", "claims 0 bytes");
    refused(b"PAR1\xff\xff\xff\xff\x04\0\0\0PAR1", "footer is corrupt");
    let object = small(Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0);
    refused(&object[..object.len() - 1], "does not end in PAR1");
}

#[test]
fn a_footer_is_asked_for_until_it_is_whole_and_bounded() {
    let object = small(Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0);
    let size = object.len() as u64;
    let Footer::NeedsTail(needed) = parse_footer(object.slice(object.len() - 8..), size, 1 << 20).unwrap() else {
        panic!("eight bytes are no footer");
    };
    let tail = object.slice(object.len() - needed as usize..);
    assert!(matches!(parse_footer(tail.clone(), size, needed).unwrap(), Footer::Done(_)));
    let unread = parse_footer(Bytes::new(), size, 1 << 20).unwrap();
    assert!(matches!(unread, Footer::NeedsTail(bytes) if bytes == size.min(FOOTER_BYTES)));
    assert!(matches!(parse_footer(tail, size, needed - 9), Err(DecodeError::TooLarge { .. })));
}

#[test]
fn chunks_outside_of_the_object_are_refused() {
    // The footer of a larger object behind less data than it speaks of.
    let object = small(Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0);
    let Footer::NeedsTail(footer_bytes) =
        parse_footer(object.slice(object.len() - 8..), object.len() as u64, 1 << 20).unwrap()
    else {
        panic!("eight bytes are no footer");
    };
    let mut cut = b"PAR1".to_vec();
    cut.extend_from_slice(&object[object.len() - footer_bytes as usize..]);
    refused(&cut, "its footer is corrupt: column ");
}

/// Reads in every way; what is wrong with it must come as an error, in time and without a panic.
fn survives(object: &Bytes) {
    let Ok(metadata) = footer(object) else { return };
    let Ok(table) = schema(&metadata) else { return };
    for group in row_groups(&metadata, None) {
        let _ = stretches(&metadata, group, &table, &[]);
    }
    let _ = read_from(object.clone(), metadata.clone(), &table, &[], 2);
    let text = TableSchema {
        columns: table
            .columns
            .iter()
            .map(|column| crate::model::schema::Column::inferred(&column.name, DataType::Utf8))
            .collect(),
        ..TableSchema::default()
    };
    let _ = read_from(object.clone(), metadata, &text, &["d"], 100);
}

/// The decoder's panics are expected here: they are caught, and their messages would bury the test's output.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    use std::sync::Once;
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !crate::codec::catching() {
                default(info);
            }
        }));
    });
    work()
}

#[test]
fn flipped_bytes_never_panic() {
    quietly(|| {
        for (codec, version) in [
            (Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0),
            (Compression::SNAPPY, WriterVersion::PARQUET_2_0),
            (Compression::ZSTD(ZstdLevel::default()), WriterVersion::PARQUET_2_0),
        ] {
            let object = small(codec, version);
            for at in 0..object.len() {
                for flip in [0x01, 0x80, 0xff] {
                    let mut flipped = object.to_vec();
                    flipped[at] ^= flip;
                    survives(&flipped.into());
                }
            }
        }
    });
}

#[test]
fn a_cut_object_is_an_error_wherever_it_is_cut() {
    let object = small(Compression::SNAPPY, WriterVersion::PARQUET_1_0);
    let metadata = footer(&object).unwrap();
    let table = schema(&metadata).unwrap();
    let end = (0..metadata.num_row_groups())
        .flat_map(|group| stretches(&metadata, group, &table, &[]).unwrap())
        .map(|range| range.end)
        .max()
        .unwrap();
    quietly(|| {
        for length in 0..object.len() {
            assert!(footer(&object.slice(..length)).is_err(), "cut to {length} bytes");
            if (length as u64) < end {
                // The object shrinks after its footer was read.
                let cut = read_from(object.slice(..length), metadata.clone(), &table, &[], 2);
                assert!(cut.is_err(), "cut to {length} bytes");
            }
        }
    });
}

#[test]
fn a_page_is_refused_before_it_is_read() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(3 << 20)]));
    for codec in [Compression::UNCOMPRESSED, Compression::ZSTD(ZstdLevel::default())] {
        for dictionary in [true, false] {
            let properties = plainly().set_compression(codec).set_dictionary_enabled(dictionary);
            let object = object(vec![("t", texts.clone())], properties);
            let table = schema(&footer(&object).unwrap()).unwrap();
            match read(&object, &table).unwrap_err() {
                DecodeError::TooLarge { what, needed, allowed, position } => {
                    assert_eq!(what, "a page of column t");
                    assert_eq!(allowed, PAGE_BYTES_MAX);
                    assert!(needed > 3 << 20, "{needed}");
                    assert!(position.is_some());
                }
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn more_rows_than_there_are_is_an_error() {
    let object = small(Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0);
    let metadata = footer(&object).unwrap();
    let table = schema(&metadata).unwrap();
    let mut claims = metadata.as_ref().clone().into_builder();
    for group in claims.take_row_groups() {
        claims = claims.add_row_group(group.into_builder().set_num_rows(1000).build().unwrap());
    }
    let error = read_from(object, Arc::new(claims.build()), &table, &[], 100).unwrap_err().to_string();
    assert!(error.contains("it has 3 rows, and the footer says 1000"), "{error}");
}

/// A row group that has more rows than its footer says is bad before a row too many is given out: whoever counts on the
/// footer's number has it kept.
#[test]
fn more_rows_than_the_footer_says_are_refused_where_they_begin() {
    let column: ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values(0..100));
    let object = object(vec![("n", column)], plainly());
    let honest = footer(&object).unwrap();
    let fewer = honest.row_group(0).clone().into_builder().set_num_rows(50).build().unwrap();
    let metadata = Arc::new(ParquetMetaData::new(honest.file_metadata().clone(), vec![fewer]));
    let table = Arc::new(schema(&metadata).unwrap());
    let plan = ParquetPlan::new(metadata, &table, &[], &[0], 40, PAGE_BYTES_MAX).unwrap();
    let mut decoder = ParquetDecoder::new(Arc::new(plan), Arc::new(object), vec![0]);
    assert_eq!(decoder.next().unwrap().unwrap().records, 40);
    let error = decoder.next().unwrap_err().to_string();
    assert!(error.contains("it has more rows than the 50 that the footer says"), "{error}");
}
