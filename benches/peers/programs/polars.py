"""Polars: lazy scans and streaming sinks. Its files rotate by rows or by bytes in memory, not by encoded bytes, so here by rows."""

import os

from peers.jobs import FILE_ROWS, ZSTD_LEVEL, Job
from peers.programs import Run, arguments, python

NAME = "Polars"


def cannot(job: Job) -> str | None:
    return None


def command(job: Job, run: Run) -> list[str]:
    return python("polars", job, run)


def main() -> None:
    import polars as pl

    job, source, target = arguments()
    options = {
        "aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"],
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    }
    if job.source_format == "csv":
        rows = pl.scan_csv(source, try_parse_dates=True, storage_options=options)
    elif job.source_format == "jsonl":
        rows = pl.scan_ndjson(source, storage_options=options)
        # JSON has no times; the offset is always Z.
        rows = rows.with_columns(pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC"))
    else:
        rows = pl.scan_parquet(source, storage_options=options)
    one = f"{target}/out.{job.target_format}"
    # Rows may come in another order, as for every program.
    if job.target_format == "csv":
        rows.sink_csv(one, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ", storage_options=options, maintain_order=False)
    elif job.target_format == "jsonl":
        rows.sink_ndjson(one, storage_options=options, maintain_order=False)
    else:
        where: str | pl.PartitionBy = one
        if job.layout == "hive":
            rows = rows.with_columns(day=pl.col("ts").dt.date())
            where = pl.PartitionBy(f"{target}/", key=["country", "day"], include_key=False)
        elif job.layout == "files":
            where = pl.PartitionBy(f"{target}/", max_rows_per_file=FILE_ROWS, approximate_bytes_per_file=None)
        rows.sink_parquet(where, compression="zstd", compression_level=ZSTD_LEVEL, storage_options=options, maintain_order=False)


if __name__ == "__main__":
    main()
