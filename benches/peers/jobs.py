"""The jobs: what is read, what is written. The same for every program."""

from dataclasses import dataclass

SOURCE_BUCKET = "raw"
OUTPUT_BUCKET = "lake"

#: What an object of a rotated output should have, in bytes: 128 MiB, the default of `destination.batch.bytes`.
FILE_BYTES = 128 << 20

#: The same in rows of the events table, for programs that cannot count encoded bytes: 60 bytes a row.
FILE_ROWS = FILE_BYTES // 60

#: The level of every zstd output: the default of `destination.parquet.level`.
ZSTD_LEVEL = 3


@dataclass(frozen=True)
class Job:
    """One row of the comparison.

    `source` is the key in `SOURCE_BUCKET`, or a glob over keys. `layout` is `one` (a single file where the program lets one choose), `files`
    (files of about `FILE_BYTES`) or `hive` (directories country=…/day=…, where day is the date of ts).
    """

    name: str
    title: str
    table: str  # events, small or wide: whose rows the output must have
    source: str
    source_format: str  # csv, jsonl or parquet
    target_format: str
    layout: str = "one"


JOBS = (
    Job("csv", "csv → parquet", "events", "events.csv", "csv", "parquet"),
    Job("jsonl", "jsonl → parquet", "events", "events.jsonl", "jsonl", "parquet"),
    Job("to-csv", "parquet → csv", "events", "events.parquet", "parquet", "csv"),
    Job("to-jsonl", "parquet → jsonl", "events", "events.parquet", "parquet", "jsonl"),
    Job("rewrite", "parquet → parquet, files of 128 MiB", "events", "events.parquet", "parquet", "parquet", "files"),
    Job("csv-gz", "csv.gz → parquet", "events", "events.csv.gz", "csv", "parquet"),
    Job("small", "many jsonl objects of 10 KB → one parquet file", "small", "small/*.jsonl", "jsonl", "parquet"),
    Job("hive", "csv → parquet, hive by country and day, 200 partitions", "events", "events.csv", "csv", "parquet", "hive"),
    Job("wide", "csv of 200 columns → parquet", "wide", "wide.csv", "csv", "parquet"),
)
