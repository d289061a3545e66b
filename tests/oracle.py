"""What the tests see outputs with, and make inputs with: engines that share no code with the crate.

A loop over stdin: each line is {"call": NAME, ...arguments}, each answer on stdout is {"ok": value} or {"error": text}. NAME is a
function of this file; `run` executes Python given by the test.
"""

import base64
import datetime as dt
import decimal
import gzip
import io
import json
import math
import os
import pathlib
import sys
import traceback
import urllib.parse

import duckdb
import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


# ---------------------------------------------------------------- values


def plain(value):
    """A value as JSON that two engines agree on."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            return value.isoformat(timespec="microseconds")
        return value.astimezone(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value)}: {value!r}")


# ---------------------------------------------------------------- inputs


def write_avro(path, fields, rows, codec="null", sync_interval=16000):
    """An Avro object container of a record with these fields."""
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    schema = fastavro.parse_schema({"type": "record", "name": "row", "fields": fields})
    with open(path, "wb") as out:
        fastavro.writer(out, schema, rows, codec=codec, sync_interval=sync_interval)


def read_avro(path):
    with open(path, "rb") as file:
        return list(fastavro.reader(file))


# ---------------------------------------------------------------- outputs


def files(dir, under=""):
    """Keys of the visible objects of a bucket directory, sorted; not its state, nor what is staged."""
    root = pathlib.Path(dir)
    keys = [str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()]
    return sorted(key for key in keys if key.startswith(under) and not key.startswith(("_s3sync/", ".s3sync-staging/")))


def hive(key):
    """The partition values in a key."""
    pairs = [part.split("=", 1) for part in key.split("/")[:-1] if "=" in part]
    return {urllib.parse.unquote(name): None if value == HIVE_NULL else urllib.parse.unquote(value) for name, value in pairs}


def text(path):
    data = pathlib.Path(path).read_bytes()
    if path.endswith(".gz"):
        data = gzip.decompress(data)
    elif path.endswith(".zst"):
        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
    return data.decode("utf-8")


def read(path, csv=None):
    """The rows of one file. Parquet: pyarrow's values; csv and tsv: text or null, by DuckDB; json and jsonl: Python's parser."""
    name = path.removesuffix(".gz").removesuffix(".zst")
    if name.endswith(".parquet"):
        rows = [plain(row) for row in pq.read_table(path, partitioning=None).to_pylist()]
        count = duckdb.sql("select count(*) from read_parquet($path, hive_partitioning = false)", params={"path": path}).fetchall()[0][0]
        assert count == len(rows), f"{path}: DuckDB counts {count} rows, pyarrow {len(rows)}"
        return rows
    if name.endswith((".csv", ".tsv")):
        whole = text(path)
        if not whole:
            return []
        options = {"delim": "\t" if name.endswith(".tsv") else ",", "header": True, "quote": '"', "nullstr": ""} | (csv or {})
        named = ", ".join(f"{key} = {value!r}" if not isinstance(value, bool) else f"{key} = {value}" for key, value in options.items())
        copy = path + ".plain"
        pathlib.Path(copy).write_text(whole, newline="")
        try:
            relation = duckdb.sql(
                f"select * from read_csv('{copy}', auto_detect = false, all_varchar = true, allow_quoted_nulls = false, escape = '\"', "
                f"max_line_size = 64000000, columns = {columns_of(whole, options)}, {named})"
            )
            return [dict(zip(relation.columns, row)) for row in relation.fetchall()]
        finally:
            os.unlink(copy)
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in text(path).splitlines() if line.strip()]
    if name.endswith(".json"):
        rows = json.loads(text(path))
        assert isinstance(rows, list), f"{path}: not one array"
        return rows
    raise ValueError(f"{path}: unknown extension")


def columns_of(whole, options):
    import csv as module

    first = next(module.reader(io.StringIO(whole, newline=""), delimiter=options["delim"].replace("\\t", "\t"), quotechar='"'))
    names = first if options["header"] else [f"column_{n + 1}" for n in range(len(first))]
    return "{" + ", ".join(f"{json.dumps(name)}: 'VARCHAR'" for name in names) + "}"


def rows(dir, under="", csv=None):
    """Every row of every visible file below a prefix, with its partition values, in a canonical order."""
    found = []
    for key in files(dir, under):
        for row in read(os.path.join(dir, key), csv):
            found.append(row | hive(key))
    return sorted(found, key=lambda row: json.dumps(row, sort_keys=True, default=str))


def types(dir, under=""):
    """Column names and Arrow types of the Parquet files below a prefix; all files must agree on shared columns."""
    seen = {}
    for key in files(dir, under):
        for field in pq.read_schema(os.path.join(dir, key)):
            assert seen.setdefault(field.name, str(field.type)) == str(field.type), f"{key}: {field.name} is {field.type}, elsewhere {seen[field.name]}"
    return seen


def sql(query, dir=None, under=""):
    """Rows of a query; FILES in it stands for the list of visible files."""
    if dir is not None:
        if not files(dir, under):
            return []
        query = query.replace("FILES", json.dumps([os.path.join(dir, key) for key in files(dir, under)], ensure_ascii=False).replace('"', "'"))
    relation = duckdb.connect().sql(query)
    return [[plain(value) for value in row] for row in relation.fetchall()]


# ---------------------------------------------------------------- MinIO, and other servers of the same keys

ENDPOINT = None


def client(anonymous=False):
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    options = {"signature_version": UNSIGNED} if anonymous else {}
    return boto3.client(
        "s3",
        endpoint_url=ENDPOINT or os.environ["S3SYNC_TEST_ENDPOINT"],
        aws_access_key_id=os.environ["S3SYNC_TEST_ACCESS_KEY"],
        aws_secret_access_key=os.environ["S3SYNC_TEST_SECRET_KEY"],
        region_name="us-east-1",
        config=Config(
            s3={"addressing_style": "path"},
            proxies={},
            # Not every server knows the checksums that boto3 adds.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            **options,
        ),
    )


def make_bucket(bucket):
    client().create_bucket(Bucket=bucket)


def put(bucket, key, file):
    client().upload_file(file, bucket, key)


def keys(bucket):
    pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return sorted(item["Key"] for page in pages for item in page.get("Contents", []))


def download(bucket, dir):
    """Copies what a listing shows, state aside, into a directory."""
    s3 = client()
    for key in keys(bucket):
        if key.startswith("_s3sync/"):
            continue
        file = pathlib.Path(dir) / key
        file.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, key, str(file))


def delete(bucket, key):
    client().delete_object(Bucket=bucket, Key=key)


def head(bucket, key):
    answer = client().head_object(Bucket=bucket, Key=key)
    return {name: answer.get(name) for name in ("StorageClass", "ServerSideEncryption", "Metadata", "ContentLength")} | {
        "Tags": {tag["Key"]: tag["Value"] for tag in client().get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}
    }


def uploads(bucket, key):
    """Uploads under way for exactly this key (MinIO answers no wider question; elsewhere a prefix will do)."""
    return [item["UploadId"] for item in client().list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", [])]


# ---------------------------------------------------------------- the loop


def run(code, **values):
    scope = globals() | values | {"result": None}
    exec(code, scope)
    return scope["result"]


def main():
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr
    for line in sys.stdin:
        try:
            arguments = json.loads(line)
            global ENDPOINT
            ENDPOINT = arguments.pop("endpoint", None)
            answer = {"ok": globals()[arguments.pop("call")](**arguments)}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer, default=str) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
