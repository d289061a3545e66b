"""DuckDB: COPY from and to S3 with its httpfs extension, which is loaded from the PyPI wheel of the extension, not downloaded."""

import os
from pathlib import Path
from typing import Any

from peers.jobs import FILE_BYTES, ZSTD_LEVEL, Job
from peers.programs import Run, arguments, python

NAME = "DuckDB"


def cannot(job: Job) -> str | None:
    return None


def command(job: Job, run: Run) -> list[str]:
    return python("duckdb", job, run)


def httpfs() -> Path:
    """The extension's file, inside the wheel duckdb_extension_httpfs."""
    import duckdb_extension_httpfs

    return next(Path(duckdb_extension_httpfs.__file__).parent.glob("extensions/*/httpfs.duckdb_extension"))


def connect() -> Any:
    """A database in memory that reaches the store."""
    import duckdb

    database = duckdb.connect()
    database.execute(f"LOAD '{httpfs()}'")
    host = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
    database.execute(f"SET s3_endpoint = '{host}'; SET s3_use_ssl = false; SET s3_url_style = 'path'; SET s3_region = 'us-east-1'")
    database.execute("SET s3_access_key_id = $1", [os.environ["AWS_ACCESS_KEY_ID"]])
    database.execute("SET s3_secret_access_key = $1", [os.environ["AWS_SECRET_ACCESS_KEY"]])
    return database


def main() -> None:
    job, source, target = arguments()
    read = {"csv": f"read_csv('{source}')", "jsonl": f"read_json('{source}', format = 'newline_delimited')", "parquet": f"read_parquet('{source}')"}
    parquet = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {ZSTD_LEVEL}"
    write = {"parquet": parquet, "csv": "FORMAT csv, HEADER", "jsonl": "FORMAT json"}[job.target_format]
    columns = "*"
    if job.layout == "hive":
        columns, write = "*, ts::DATE AS day", f"{write}, PARTITION_BY (country, day)"
    elif job.layout == "files":
        write = f"{write}, FILE_SIZE_BYTES {FILE_BYTES}"
    else:
        target = f"{target}/out.{job.target_format}"
    # Rows may come in another order: the manual's advice for speed and memory.
    connect().execute(f"SET preserve_insertion_order = false; COPY (SELECT {columns} FROM {read[job.source_format]}) TO '{target}' ({write})")


if __name__ == "__main__":
    main()
