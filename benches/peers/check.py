"""Whether an output has the rows it must have: their number, sums, and digests that do not depend on their order.

    python -m peers.check JOB PREFIX     the output of a run, which is then removed; prints {bytes, objects, text_columns}
    python -m peers.check sources ROWS   what `peers.data` made; prints the true figures, for S3SYNC_PEERS_TRUTH

DuckDB reads, in a process of its own. Values are compared in one form: times as microseconds in UTC, decimals in units of 1/1000, all else as text.
"""

import json
import os
import sys
from dataclasses import dataclass
from typing import Any

from pyarrow.fs import FileInfo, FileSelector, FileType

from peers.jobs import JOBS, OUTPUT_BUCKET, SOURCE_BUCKET, Job
from peers.programs import duckdb
from peers.store import connect
from peers.tables import SCHEMAS

#: Bytes that DuckDB may take: a check must not push the sources out of the page cache.
MEMORY = "2GB"

#: A check may run beside anything: a slow answer is no wrong row.
HTTP_SECONDS = 600

#: The environment variable that hands the true figures to a check.
TRUTH = "S3SYNC_PEERS_TRUTH"


@dataclass(frozen=True)
class Read:
    """Rows that DuckDB can read: `relation` as SQL, and the types it gives to columns."""

    relation: str
    types: dict[str, str]


def read(database: Any, uri: str, format: str, table: str, hive: bool = False) -> Read:
    """Text formats are read as text, so that no sniffing decides what is compared."""
    names = SCHEMAS[table].names
    if format == "csv":
        text = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
        dialect = "header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', new_line = '\\n'"
        relation = f"read_csv('{uri}', {dialect}, columns = {{{text}}})"
    elif format == "jsonl":
        text = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
        relation = f"read_json('{uri}', format = 'newline_delimited', columns = {{{text}}})"
    elif hive:
        relation = f"read_parquet('{uri}', hive_partitioning = true, hive_types = {{'country': VARCHAR, 'day': DATE}})"
    else:
        relation = f"read_parquet('{uri}')"
    described = database.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return Read(relation, {name: kind for name, kind, *_ in described})


def normal(name: str, expected: str, actual: str) -> str:
    """SQL of a column's value in the form that is compared: text or a whole number."""
    column = f'"{name}"'
    if expected.startswith("timestamp"):
        return f"epoch_us(CAST({column} AS TIMESTAMP))"
    if expected == "double":
        return f"CAST(round(CAST({column} AS DOUBLE) * 1000) AS BIGINT)"
    if expected == "int64":
        return f"CAST({column} AS BIGINT)"
    if expected == "bool":
        return f"CAST({column} AS BOOLEAN)"
    return f"CAST({column} AS VARCHAR)"


def figures(database: Any, rows: Read, table: str, hive: bool = False) -> dict[str, Any]:
    """Rows, a digest a column and one of whole rows, and the sums of numeric columns. Equal figures mean equal rows, in whatever order."""
    values = {field.name: normal(field.name, str(field.type), rows.types[field.name]) for field in SCHEMAS[table]}
    numeric = [field.name for field in SCHEMAS[table] if str(field.type) in ("int64", "double")]
    wanted = ["count(*)", f"sum(hash({', '.join(values.values())})::HUGEINT)"]
    wanted += [f"sum(hash({value})::HUGEINT)" for value in values.values()]
    wanted += [f"sum({values[name]}::HUGEINT)" for name in numeric]
    if hive:
        wanted += ["count(DISTINCT (country, day))", "count(*) FILTER (CAST(ts AS TIMESTAMP)::DATE IS DISTINCT FROM day)"]
    row = [int(value) for value in database.execute(f"SELECT {', '.join(wanted)} FROM {rows.relation}").fetchone()]
    found: dict[str, Any] = {"rows": row[0], "digest": str(row[1])}
    found["columns"] = {name: str(value) for name, value in zip(values, row[2:], strict=False)}
    found["sums"] = {name: str(value) for name, value in zip(numeric, row[2 + len(values) :], strict=False)}
    if hive:
        found["partitions"], found["misplaced"] = row[-2:]
    return found


def differences(found: dict[str, Any], true: dict[str, Any]) -> list[str]:
    """What differs, in words; empty when nothing does."""
    if found["rows"] != true["rows"]:
        return [f"{found['rows']} rows, not {true['rows']}"]
    texts = [f"sum of {name} is {found['sums'][name]}, not {total}" for name, total in true["sums"].items() if found["sums"][name] != total]
    texts += [f"column {name} has other values" for name, digest in true["columns"].items() if found["columns"][name] != digest]
    if not texts and found["digest"] != true["digest"]:
        texts.append("every column has its values, but rows are mixed up")
    if found.get("misplaced"):
        texts.append(f"{found['misplaced']} rows lie under another day")
    if "partitions" in found and found["partitions"] != 200:
        texts.append(f"{found['partitions']} partitions, not 200")
    return texts


def database() -> Any:
    opened = duckdb.connect()
    opened.execute(f"SET memory_limit = '{MEMORY}'; SET preserve_insertion_order = false; SET http_timeout = {HTTP_SECONDS}")
    return opened


def check_sources(rows: int) -> dict[str, Any]:
    """The figures of each table, after every source of it was found to have them."""
    opened = database()
    truth = {}
    for table, truly in (("events", "events.parquet"), ("small", "small.parquet"), ("wide", "wide.parquet")):
        true = figures(opened, read(opened, f"s3://{SOURCE_BUCKET}/{truly}", "parquet", table), table)
        for job in JOBS:
            if job.table == table:
                differ = differences(figures(opened, read(opened, f"s3://{SOURCE_BUCKET}/{job.source}", job.source_format, table), table), true)
                assert not differ, f"the generator made {job.source} unlike {truly}: {differ}"
        truth[table] = true
    assert truth["events"]["rows"] == rows and int(truth["events"]["sums"]["id"]) == rows * (rows - 1) // 2
    return truth


def objects_under(prefix: str) -> list[FileInfo]:
    found = connect().get_file_info(FileSelector(f"{OUTPUT_BUCKET}/{prefix}", recursive=True, allow_not_found=True))
    return [info for info in found if info.type == FileType.File]


def check(job: Job, prefix: str, true: dict[str, Any]) -> dict[str, Any]:
    """Fails with what differs. Else the bytes and objects of the output, and which columns of other types were left as text."""
    objects = objects_under(prefix)
    if not objects:
        raise SystemExit("nothing was written")
    hive = job.layout == "hive"
    opened = database()
    rows = read(opened, f"s3://{OUTPUT_BUCKET}/{prefix}/**/*.{job.target_format}", job.target_format, job.table, hive)
    missing = [name for name in SCHEMAS[job.table].names if name not in rows.types]
    if missing:
        raise SystemExit(f"columns {', '.join(missing)} are not there")
    differ = differences(figures(opened, rows, job.table, hive), true)
    if differ:
        raise SystemExit("; ".join(differ[:5]))
    text = [field.name for field in SCHEMAS[job.table] if str(field.type) != "string" and rows.types[field.name] == "VARCHAR"]
    return {
        "bytes": sum(info.size for info in objects),
        "objects": len(objects),
        "text_columns": text if job.target_format == "parquet" else [],
    }


def main() -> None:
    if sys.argv[1] == "sources":
        print(json.dumps(check_sources(int(sys.argv[2]))))
        return
    job = next(job for job in JOBS if job.name == sys.argv[1])
    try:
        print(json.dumps(check(job, sys.argv[2], json.loads(os.environ[TRUTH])[job.table])))
    finally:
        connect().delete_dir_contents(OUTPUT_BUCKET, missing_dir_ok=True)


if __name__ == "__main__":
    main()
