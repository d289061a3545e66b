"""pyarrow: its dataset API, which reads and writes as a stream."""

from peers.jobs import FILE_ROWS, SOURCE_BUCKET, ZSTD_LEVEL, Job
from peers.programs import Run, arguments, python

NAME = "pyarrow"

#: Rows that are collected for one row group. By default each block of text becomes one, some thousand rows.
GROUP_ROWS = 250_000


def cannot(job: Job) -> str | None:
    if job.target_format == "jsonl":
        return "it does not write JSON"
    return None


def command(job: Job, run: Run) -> list[str]:
    return python("pyarrow", job, run)


def main() -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as csv
    import pyarrow.dataset as ds

    from peers.store import connect

    job, _, target = arguments()
    store = connect()
    if job.source_format == "csv":
        # Quoted newlines are not looked for unless asked.
        format: ds.FileFormat = ds.CsvFileFormat(
            parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=csv.ConvertOptions(strings_can_be_null=True)
        )
    else:
        format = {"jsonl": ds.JsonFileFormat, "parquet": ds.ParquetFileFormat}[job.source_format]()
    # It has no globs: a prefix is read whole.
    where = f"{SOURCE_BUCKET}/{job.source}".split("/*")[0]
    rows = ds.dataset(where, filesystem=store, format=format)
    columns = {name: pc.field(name) for name in rows.schema.names}
    options: dict[str, object] = {}
    if job.layout == "hive":
        columns["day"] = pc.field("ts").cast(pa.date32())
        options["partitioning"] = ds.partitioning(pa.schema([("country", pa.string()), ("day", pa.date32())]), flavor="hive")
    elif job.layout == "files":
        options["max_rows_per_file"] = FILE_ROWS
    if job.target_format == "parquet":
        parquet = ds.ParquetFileFormat()
        options |= {"format": parquet, "file_options": parquet.make_write_options(compression="zstd", compression_level=ZSTD_LEVEL)}
        options |= {"min_rows_per_group": GROUP_ROWS, "max_rows_per_group": 2 * GROUP_ROWS}
    else:
        options["format"] = ds.CsvFileFormat()
    ds.write_dataset(
        rows.scanner(columns=columns),
        target.removeprefix("s3://"),
        filesystem=store,
        basename_template=f"part-{{i}}.{job.target_format}",
        **options,
    )


if __name__ == "__main__":
    main()
