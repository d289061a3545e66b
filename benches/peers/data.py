"""Makes the data, seeded, straight into the store: the same rows as csv, jsonl, csv.gz and parquet, many small objects, and a wide csv.

    python -m peers.data ROWS

Rows are made in chunks, each from a random generator of its own (seed and chunk number), by a process a core, and written in order. Memory
is bounded by the chunks in flight, whatever ROWS is. One random choice decides one value, so that sizes after compression are honest:
about 224 bytes a row as csv, 307 as jsonl, 69 as csv.gz, 60 as parquet.
"""

import csv
import io
import itertools
import json
import multiprocessing
import os
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import S3FileSystem

from peers.jobs import OUTPUT_BUCKET, SOURCE_BUCKET, ZSTD_LEVEL
from peers.store import connect
from peers.tables import EVENT_SCHEMA, WIDE_SCHEMA

SEED = 20240301

#: Rows of a chunk: some 25 MB as text, so that a few in flight are small and handing one over costs little.
CHUNK_ROWS = 50_000
WIDE_CHUNK_ROWS = 4_000

#: Chunks of one row group of the parquet source: 250,000 rows, between DuckDB's 122,880 and pyarrow's 1,048,576.
ROW_GROUP_CHUNKS = 5

#: Rows of a small object: about 9.2 KB of jsonl.
SMALL_OBJECT_ROWS = 30

COUNTRIES = ("AR", "BR", "CL", "DE", "FR", "IN", "JP", "KE", "NG", "US")
DAYS = 20
FIRST_DAY = np.datetime64("2024-03-01", "ms")
DAY_MS = 86_400_000
TYPES = ("view", "click", "search", "purchase", "refund", "signup", "logout")
SECTIONS = ("catalogue", "account", "help", "checkout", "blog", "search")
SITES = ("search.example", "news.example", "mail.example", "social.example", "partner.example")


def vocabulary() -> list[str]:
    """4,096 pronounceable words, a few with letters outside ASCII."""
    random = np.random.default_rng([SEED, 0xA0])
    onsets, vowels = "b c d f g h j k l m n p r s t v w z br ch st tr".split(), "a e i o u ä é ø".split()
    weights = np.array([24, 24, 24, 24, 24, 1, 1, 1], dtype=float)
    words: set[str] = set()
    while len(words) < 4096:
        syllables = int(random.integers(1, 4))
        words.add("".join(onsets[random.integers(len(onsets))] + random.choice(vowels, p=weights / weights.sum()) for _ in range(syllables)))
    return [str(word) for word in random.permutation(sorted(words))]


WORDS = vocabulary()


def words_at(random: np.random.Generator, size: int) -> list[int]:
    """Indices into `WORDS`, common words far more often than rare ones, as in a language."""
    return [int(at) for at in len(WORDS) * random.random(size) ** 8]


def texts(random: np.random.Generator, rows: int) -> list[str]:
    """Free text of 8 to 20 words; one in eight has quotes, one in ten newlines, one in six commas."""
    words_of = random.integers(8, 21, rows).tolist()
    words = iter([WORDS[i] for i in words_at(random, sum(words_of))])
    styles = random.integers(0, 120, rows).tolist()
    made = []
    for count, style in zip(words_of, styles):
        parts = list(itertools.islice(words, count))
        if style % 8 == 0:
            parts[1] = f'"{parts[1]}"'
        if style % 10 == 3:
            parts[2] += "\n"
        if style % 6 == 1:
            parts[3] += ","
        made.append(" ".join(parts))
    return made


def event_columns(chunk: int, rows: int) -> dict[str, list[Any]]:
    """The values of one chunk, as Python objects. Timestamps are milliseconds since 1970, in UTC."""
    random = np.random.default_rng([SEED, 1, chunk])
    first = chunk * CHUNK_ROWS
    ts = FIRST_DAY.astype("int64") + random.integers(0, DAYS * DAY_MS, rows)
    sections = random.integers(0, len(SECTIONS), rows).tolist()
    pages = zip(words_at(random, rows), words_at(random, rows))
    items = random.integers(0, 100_000, rows).tolist()
    queries = words_at(random, rows)
    sites = random.integers(0, 2 * len(SITES), rows).tolist()
    visits = random.integers(1, 1000, rows).tolist()
    return {
        "id": list(range(first, first + rows)),
        "ts": ts.tolist(),
        "user": [f"user_{n:07}" for n in random.integers(0, 1_000_000, rows).tolist()],
        "country": [COUNTRIES[n] for n in random.integers(0, len(COUNTRIES), rows).tolist()],
        "type": [TYPES[n] for n in random.integers(0, len(TYPES), rows).tolist()],
        "amount": [cents / 100 for cents in random.integers(1, 100_000, rows).tolist()],
        "url": [f"https://www.shop.example/{SECTIONS[s]}/{WORDS[a]}-{WORDS[b]}/{n}" for s, (a, b), n in zip(sections, pages, items)],
        # Half of the referrers are null.
        "referrer": [f"https://{SITES[s]}/find?q={WORDS[q]}&visit={v}" if s < len(SITES) else None for s, q, v in zip(sites, queries, visits)],
        "text": texts(random, rows),
    }


def csv_text(columns: Iterable[Iterable[Any]]) -> bytes:
    """Rows as RFC 4180 has them, lines end in \\n; null is an empty field. Quotes only where needed."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(zip(*columns))
    return text.getvalue().encode()


def jsonl_lines(columns: dict[str, list[Any]]) -> list[bytes]:
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
    names = tuple(columns)
    return [(encode(dict(zip(names, row))) + "\n").encode() for row in zip(*columns.values())]


@dataclass(frozen=True)
class Chunk:
    csv: bytes
    jsonl: list[bytes]  # a line an item
    table: pa.Table


def event_chunk(chunk: int, rows: int) -> Chunk:
    columns = event_columns(chunk, rows)
    milliseconds = pa.array(columns["ts"], pa.int64())
    columns["ts"] = [f"{at}Z" for at in np.datetime_as_string(np.array(columns["ts"]).astype("datetime64[ms]"), unit="ms").tolist()]
    arrays = [
        milliseconds.cast(pa.timestamp("ms", "UTC")).cast(field.type) if field.name == "ts" else pa.array(columns[field.name], field.type)
        for field in EVENT_SCHEMA
    ]
    return Chunk(csv_text(columns.values()), jsonl_lines(columns), pa.Table.from_arrays(arrays, schema=EVENT_SCHEMA))


def wide_chunk(chunk: int, rows: int) -> Chunk:
    """200 columns, five kinds in turn: numbers, decimals, words, booleans, and numbers of which a quarter is null."""
    random = np.random.default_rng([SEED, 2, chunk])
    text, arrays = [], []
    for i, field in enumerate(WIDE_SCHEMA):
        kind = i % 5
        if kind == 0:
            values = random.integers(0, 100_000_000_000, rows).tolist()
        elif kind == 1:
            values = (random.integers(1, 100_000_000, rows) / 1000).tolist()
        elif kind == 2:
            values = [WORDS[n] for n in random.integers(0, len(WORDS), rows).tolist()]
        elif kind == 3:
            values = (random.integers(0, 2, rows) == 1).tolist()
        else:
            values = [n if n >= 250_000 else None for n in random.integers(0, 1_000_000, rows).tolist()]
        arrays.append(pa.array(values, field.type))
        text.append(["true" if value else "false" for value in values] if kind == 3 else values)
    return Chunk(csv_text(text), [], pa.Table.from_arrays(arrays, schema=WIDE_SCHEMA))


def in_order(pool: ProcessPoolExecutor, make: Callable[[int, int], Chunk], rows: int, chunk_rows: int) -> Iterator[Chunk]:
    """Chunks in order, at most two a core in flight: one being made, one waiting to be written."""
    waiting: deque[Future[Chunk]] = deque()
    for chunk, first in enumerate(range(0, rows, chunk_rows)):
        waiting.append(pool.submit(make, chunk, min(chunk_rows, rows - first)))
        if len(waiting) > 2 * (os.cpu_count() or 1):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


class ParquetSink:
    """A parquet object, zstd; row groups of a fixed number of chunks."""

    def __init__(self, store: S3FileSystem, key: str, schema: pa.Schema) -> None:
        self.out = store.open_output_stream(f"{SOURCE_BUCKET}/{key}")
        self.writer = pq.ParquetWriter(self.out, schema, compression="zstd", compression_level=ZSTD_LEVEL)
        self.waiting: list[pa.Table] = []

    def write(self, table: pa.Table) -> None:
        self.waiting.append(table)
        if len(self.waiting) == ROW_GROUP_CHUNKS:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            table = pa.concat_tables(self.waiting)
            self.writer.write_table(table, row_group_size=max(table.num_rows, 1))
            self.waiting = []

    def close(self) -> None:
        self.flush()
        self.writer.close()
        self.out.close()


class GzipSink:
    """A gzip object of one member, at gzip's own default level."""

    def __init__(self, store: S3FileSystem, key: str) -> None:
        # pyarrow would compress by the key's extension, in its own way.
        self.out = store.open_output_stream(f"{SOURCE_BUCKET}/{key}", compression=None)
        self.deflate = zlib.compressobj(6, zlib.DEFLATED, 31)

    def write(self, data: bytes) -> None:
        self.out.write(self.deflate.compress(data))

    def close(self) -> None:
        self.out.write(self.deflate.flush())
        self.out.close()


class SmallSink:
    """Objects of `SMALL_OBJECT_ROWS` lines, until there are `limit` of them, and their rows as one parquet to compare with."""

    def __init__(self, store: S3FileSystem, limit: int) -> None:
        self.store, self.limit, self.made = store, limit, 0
        self.rows = ParquetSink(store, "small.parquet", EVENT_SCHEMA)
        # Each is a request that mostly waits.
        self.pool = ThreadPoolExecutor(8)

    def write(self, chunk: Chunk) -> None:
        objects = min(self.limit - self.made, len(chunk.jsonl) // SMALL_OBJECT_ROWS)
        if objects == 0:
            return
        self.rows.write(chunk.table.slice(0, objects * SMALL_OBJECT_ROWS))
        bodies = [b"".join(chunk.jsonl[i * SMALL_OBJECT_ROWS : (i + 1) * SMALL_OBJECT_ROWS]) for i in range(objects)]
        list(self.pool.map(self.put, range(self.made, self.made + objects), bodies))
        self.made += objects

    def put(self, number: int, body: bytes) -> None:
        with self.store.open_output_stream(f"{SOURCE_BUCKET}/small/{number:06}.jsonl") as out:
            out.write(body)

    def close(self) -> None:
        assert self.made == self.limit, f"{self.made} small objects of {self.limit}"
        self.rows.close()
        self.pool.shutdown()


def make_events(pool: ProcessPoolExecutor, store: S3FileSystem, rows: int) -> None:
    plain = store.open_output_stream(f"{SOURCE_BUCKET}/events.csv")
    lines = store.open_output_stream(f"{SOURCE_BUCKET}/events.jsonl")
    gzip = GzipSink(store, "events.csv.gz")
    parquet = ParquetSink(store, "events.parquet", EVENT_SCHEMA)
    small = SmallSink(store, rows // 500)
    header = (",".join(EVENT_SCHEMA.names) + "\n").encode()
    plain.write(header)
    gzip.write(header)
    with ThreadPoolExecutor(3) as writers:  # zlib, zstd and the network let go of the interpreter
        for chunk in in_order(pool, event_chunk, rows, CHUNK_ROWS):
            written = [
                writers.submit(plain.write, chunk.csv),
                writers.submit(lines.write, b"".join(chunk.jsonl)),
                writers.submit(gzip.write, chunk.csv),
                writers.submit(parquet.write, chunk.table),
            ]
            small.write(chunk)
            for done in written:
                done.result()
    for sink in (plain, lines, gzip, parquet, small):
        sink.close()


def make_wide(pool: ProcessPoolExecutor, store: S3FileSystem, rows: int) -> None:
    plain = store.open_output_stream(f"{SOURCE_BUCKET}/wide.csv")
    parquet = ParquetSink(store, "wide.parquet", WIDE_SCHEMA)
    plain.write((",".join(WIDE_SCHEMA.names) + "\n").encode())
    for chunk in in_order(pool, wide_chunk, rows, WIDE_CHUNK_ROWS):
        plain.write(chunk.csv)
        parquet.write(chunk.table)
    plain.close()
    parquet.close()


def main(rows: int) -> None:
    store = connect()
    for bucket in (SOURCE_BUCKET, OUTPUT_BUCKET):
        store.create_dir(bucket)
    # Not forked: a fork of a process with an S3 client has locks that nobody opens.
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        make_events(pool, store, rows)
        make_wide(pool, store, rows // 25)


if __name__ == "__main__":
    main(int(sys.argv[1]))
