"""What the figures depend on: the machine, without its name, versions, and the sizes of the sources. Run as a program it prints them as JSON."""

import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from pyarrow.fs import FileSelector

from peers.jobs import SOURCE_BUCKET
from peers.store import connect

PACKAGES = {"DuckDB": "duckdb", "Polars": "polars", "chDB": "chdb", "pyarrow": "pyarrow", "ingestr": "ingestr"}


def versions() -> dict[str, str]:
    ours = subprocess.run([os.environ["S3SYNC_BIN"], "--version"], check=True, capture_output=True, text=True).stdout.split()[-1]
    found = {"s3sync": ours} | {name: importlib.metadata.version(package) for name, package in PACKAGES.items()}
    minio = re.search(r"github.com/minio/minio (\S+)", (Path(__file__).parents[2] / "tests/minio/go.mod").read_text())
    return found | {"MinIO": minio[1] if minio else "?"}


def processor() -> str:
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return names[0] if names else platform.machine()


def source_sizes() -> dict[str, int]:
    """Bytes under each first segment of a key."""
    sizes: dict[str, int] = {}
    for info in connect().get_file_info(FileSelector(SOURCE_BUCKET, recursive=True)):
        first = info.path.split("/")[1]
        sizes[first] = sizes.get(first, 0) + (info.size or 0)
    return {key: size for key, size in sizes.items() if key not in ("small.parquet", "wide.parquet")}


def facts() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": processor(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"Linux {platform.release().split('-')[0]}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": versions(),
        "sources": source_sizes(),
    }


if __name__ == "__main__":
    print(json.dumps(facts()))
