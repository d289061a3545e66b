"""Writes the sample data under data/: a small web shop. Needs pyarrow; the same bytes every time.

    python3 examples/quickstart/generate.py
"""

import csv
import datetime as dt
import gzip
import io
import json
import pathlib
import random

import pyarrow as pa
import pyarrow.parquet as pq

BUCKET = pathlib.Path(__file__).parent / "data" / "shop"
RANDOM = random.Random(20240131)
COUNTRIES = ["DE", "FR", "NL", "PL", "SE"]
UTC = dt.timezone.utc


def write(key: str, data: bytes) -> None:
    file = BUCKET / key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(data, mtime=0) if key.endswith(".gz") else data)


def orders(month: int, count: int, first: int) -> bytes:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["order_id", "ordered_at", "customer_id", "country", "items", "amount", "coupon", "note"])
    start = dt.datetime(2024, month, 1, tzinfo=UTC)
    days = (dt.datetime(2024, month + 1, 1, tzinfo=UTC) - start).days
    seconds = sorted(RANDOM.randrange(days * 86400) for _ in range(count))
    for number, second in enumerate(seconds):
        note = RANDOM.choice([""] * 6 + ["gift, please wrap", "leave at the door", 'says "fragile"', "ring twice\nsecond floor"])
        coupon = RANDOM.choice(["", "", "", "WINTER10", "HELLO5"])
        at = (start + dt.timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")
        amount = f"{RANDOM.randrange(500, 25000) / 100:.2f}"
        out.writerow([first + number, at, RANDOM.randrange(1, 201), RANDOM.choice(COUNTRIES), RANDOM.randrange(1, 7), amount, coupon, note])
    return text.getvalue().encode()


def events(day: dt.date, count: int) -> bytes:
    lines = []
    for second in sorted(RANDOM.randrange(86400) for _ in range(count)):
        at = dt.datetime.combine(day, dt.time(), UTC) + dt.timedelta(seconds=second)
        event = {
            "at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "kind": RANDOM.choice(["view", "view", "view", "cart", "buy"]),
            "country": RANDOM.choice(COUNTRIES),
            "product": f"P{RANDOM.randrange(1, 41):03}",
            "device": {"os": RANDOM.choice(["android", "ios", "linux", "windows"]), "mobile": RANDOM.random() < 0.6},
        }
        if RANDOM.random() < 0.3:
            event["tags"] = RANDOM.sample(["sale", "new", "newsletter", "ad"], k=RANDOM.randrange(1, 3))
        lines.append(json.dumps(event, separators=(",", ":")))
    return ("\n".join(lines) + "\n").encode()


def customers() -> bytes:
    since = [dt.date(2019, 1, 1) + dt.timedelta(days=RANDOM.randrange(1800)) for _ in range(200)]
    table = pa.table({
        "customer_id": pa.array(range(1, 201), pa.int64()),
        "country": pa.array([RANDOM.choice(COUNTRIES) for _ in since]),
        "since": pa.array(since, pa.date32()),
        "credit": pa.array([None if RANDOM.random() < 0.2 else RANDOM.randrange(100_000) for _ in since], pa.int64())
                    .cast(pa.decimal128(19, 0)).cast(pa.decimal128(12, 2)),
    })
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def products() -> bytes:
    words = ["lamp", "chair", "table", "shelf", "rug", "vase", "clock", "mirror"]
    rows = [{"sku": f"P{n:03}", "name": f"{RANDOM.choice(words)} no. {n}", "price": RANDOM.randrange(500, 20000) / 100} for n in range(1, 41)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


write("orders/2024-01.csv.gz", orders(1, 620, 1))
write("orders/2024-02.csv.gz", orders(2, 540, 621))
write("orders/2024-03.csv", orders(3, 480, 1161))
write("events/2024-03-30.jsonl.gz", events(dt.date(2024, 3, 30), 400))
write("events/2024-03-31.jsonl", events(dt.date(2024, 3, 31), 300))
write("customers/all.parquet", customers())
write("products/all.jsonl", products())
