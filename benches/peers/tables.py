"""The columns of each table, and their types where a format has types. Apart from the generator, so that a check starts at once."""

import pyarrow as pa

WIDE_COLUMNS = 200

EVENT_SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("ts", pa.timestamp("us", "UTC")),
        ("user", pa.string()),
        ("country", pa.string()),
        ("type", pa.string()),
        ("amount", pa.float64()),
        ("url", pa.string()),
        ("referrer", pa.string()),
        ("text", pa.string()),
    ]
)


def wide_schema() -> pa.Schema:
    kinds = (pa.int64(), pa.float64(), pa.string(), pa.bool_(), pa.int64())
    return pa.schema([(f"c{i:03}", kinds[i % len(kinds)]) for i in range(WIDE_COLUMNS)])


WIDE_SCHEMA = wide_schema()

#: By `Job.table`.
SCHEMAS = {"events": EVENT_SCHEMA, "small": EVENT_SCHEMA, "wide": WIDE_SCHEMA}
