"""s3sync as a user runs it: a manifest, `s3sync run -f`, no state from before, the default budget."""

import os
from pathlib import Path

from peers.jobs import OUTPUT_BUCKET, SOURCE_BUCKET, Job
from peers.programs import Run

NAME = "s3sync"

#: JSON has no times: without the cast the column stays text, as it is.
CASTS = "schema: {columns: [{name: ts, type: timestamp(us)}]}"
HIVE = "partitionBy: [{column: country}, {column: ts, transform: Date, name: day}]"


def cannot(job: Job) -> str | None:
    return None


def manifest(job: Job, run: Run) -> str:
    return f"""apiVersion: s3sync.dev/v1alpha1
kind: S3Sync
metadata: {{name: {job.name}}}
spec:
  source:
    uri: s3://{SOURCE_BUCKET}/{job.source}
    endpoint: {run.endpoint}
    tables: {{from: Fixed, name: {job.table}}}
  {CASTS if job.source_format == "jsonl" else "schema: {}"}
  destination:
    bucket: {OUTPUT_BUCKET}
    endpoint: {run.endpoint}
    path: "{run.prefix}/{{{{UUID}}}}.{{{{FORMAT}}}}"
    format: {job.target_format}
    {HIVE if job.layout == "hive" else "partitionBy: []"}
"""


def command(job: Job, run: Run) -> list[str | Path]:
    file = run.folder / "sync.yaml"
    file.write_text(manifest(job, run))
    return [os.environ["S3SYNC_BIN"], "run", "-f", file]
