"""chDB (ClickHouse in a process): INSERT INTO FUNCTION s3 SELECT FROM s3. Its files rotate by an expression only, so here by ranges of ids."""

import os

from peers.jobs import FILE_ROWS, ZSTD_LEVEL, Job
from peers.programs import Run, arguments, python

NAME = "chDB"

FORMATS = {"csv": "CSVWithNames", "jsonl": "JSONEachRow", "parquet": "Parquet"}


def cannot(job: Job) -> str | None:
    return None


def command(job: Job, run: Run) -> list[str]:
    return python("chdb", job, run)


def main() -> None:
    import chdb

    job, source, target = arguments()
    endpoint, key, secret = (os.environ[name] for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    columns, partition, strategy, end = "*", "", "", f"out.{job.target_format}"
    if job.layout == "hive":
        # What it partitions by may not be nullable, and every column that it infers from csv is.
        columns = "* REPLACE (assumeNotNull(country) AS country), toDate(assumeNotNull(ts)) AS day"
        partition, strategy, end = "PARTITION BY (country, day)", ", partition_strategy = 'hive'", ""
    elif job.layout == "files":
        partition, end = f"PARTITION BY intDiv(id, {FILE_ROWS})", "{_partition_id}.parquet"

    def s3(uri: str, format: str, more: str = "") -> str:
        return f"s3('{endpoint}/{uri.removeprefix('s3://')}', '{key}', '{secret}', format = '{FORMATS[format]}'{more})"

    settings = {
        "output_format_parquet_compression_method": "'zstd'",
        "output_format_compression_level": ZSTD_LEVEL,
        "format_csv_null_representation": "''",
        "date_time_output_format": "'iso'",
        "session_timezone": "'UTC'",
        "max_partitions_per_insert_block": 0,
    }
    into, rows = s3(f"{target}/{end}", job.target_format, strategy), s3(source, job.source_format)
    given = ", ".join(f"{name} = {value}" for name, value in settings.items())
    chdb.query(f"INSERT INTO FUNCTION {into} {partition} SELECT {columns} FROM {rows} SETTINGS {given}")


if __name__ == "__main__":
    main()
