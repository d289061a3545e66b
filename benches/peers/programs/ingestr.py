"""ingestr: its command line. The PyPI package is a small launcher that downloads the program from GitHub when it is first run."""

import functools
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

from peers.jobs import OUTPUT_BUCKET, SOURCE_BUCKET, Job
from peers.minio import PASSWORD, USER
from peers.programs import Run

NAME = "ingestr"

BINARY = Path(sys.executable).parent / "ingestr"

#: For a download of some tens of megabytes.
START_SECONDS = 120


@functools.cache
def unavailable() -> str | None:
    try:
        started = subprocess.run([BINARY, "--version"], capture_output=True, timeout=START_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return "it does not start"
    return "its PyPI package downloads the program from GitHub, which this machine does not reach" if started.returncode else None


def cannot(job: Job) -> str | None:
    if job.layout == "hive":
        return "it does not partition"
    if job.target_format != "parquet":
        return "it writes parquet only"
    return unavailable()


def command(job: Job, run: Run) -> list[str | Path]:
    store = {"access_key_id": USER, "secret_access_key": PASSWORD, "endpoint_url": run.endpoint}
    return [
        *(BINARY, "ingest", "--yes", "--progress", "log"),
        *("--source-uri", f"s3://?{urlencode(store)}", "--source-table", f"{SOURCE_BUCKET}/{job.source}"),
        *("--dest-uri", f"s3://?{urlencode(store | {'layout': '{table_name}.{ext}'})}", "--dest-table", f"{OUTPUT_BUCKET}/{run.prefix}"),
    ]
