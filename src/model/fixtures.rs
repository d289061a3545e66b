//! Values that tests begin with.

use std::num::NonZeroU64;

use super::format::{Compression, CompressionRule, OutputFormat};
use super::object::{Etag, Object};
use super::settings::*;
use super::template::Template;
use super::write_mode::WriteMode;

/// Everything at its default: prefixes name tables, Append, one worker.
pub fn settings() -> Settings {
    Settings {
        id: SyncId { namespace: "data".into(), name: "orders".into() },
        source: SourceSettings {
            endpoint: String::new(),
            bucket: "raw".into(),
            prefix: String::new(),
            include: vec![],
            exclude: vec![],
            format: None,
            compression: CompressionRule::Auto,
            csv: CsvReadSettings::default(),
            tables: TableRule::Prefix,
            table_include: vec![],
        },
        schema: SchemaSettings {
            mode: SchemaMode::Infer,
            columns: vec![],
            drop: vec![],
            evolution: Evolution::AddColumns,
        },
        destination: DestinationSettings {
            endpoint: String::new(),
            bucket: "lake".into(),
            template: Template::parse("{{TABLE}}/{{UUID}}.{{FORMAT}}").unwrap(),
            format: OutputFormat::Parquet,
            compression: Compression::None,
            write_mode: WriteMode::Append,
            allow_empty: false,
            partition_by: vec![],
            file_rows_max: None,
            target_file_bytes: NonZeroU64::new(128 << 20),
            csv: CsvWriteSettings { delimiter: None, header: true, quote: Some(b'"'), null_value: String::new() },
            parquet: ParquetSettings {
                codec: ParquetCodec::Zstd,
                row_group_rows: 1 << 20,
                row_group_bytes: 128 << 20,
                level: 3,
            },
            object: ObjectAttributes::default(),
            lineage: false,
        },
        incremental: IncrementalSettings { enabled: true, on_overwrite: OnOverwrite::Reprocess },
        errors: ErrorSettings { on_bad_object: OnBadObject::Fail, max_bad_records: 0, dead_letter_path: None },
        on_nothing_found: OnNothingFound::Succeed,
        limits: LimitSettings { objects_per_commit: 100_000, bytes_per_commit: 64 << 30 },
        state_prefix: "_s3sync".into(),
        worker: WorkerSettings { replicas: 1, concurrency: None, rows_per_batch: 8192, scratch_bytes: 10 << 30 },
    }
}

/// An object of 100 bytes.
pub fn object(key: &str, etag: &str) -> Object {
    Object {
        key: key.into(),
        etag: Etag::new(etag),
        size: 100,
        last_modified: "2026-01-02T03:04:05Z".parse().unwrap(),
        archived: false,
    }
}
