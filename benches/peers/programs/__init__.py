"""The programs: what each runs for a job, in a process of its own, as its manual says is fastest. Memory limits stay at their defaults.

Every module here has `NAME`, `cannot(job)` (None, or why not) and `command(job, run)`. None imports its library before `main`: the harness imports
all of them and must stay small.
"""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from peers.jobs import JOBS, OUTPUT_BUCKET, SOURCE_BUCKET, Job

#: In the order of the table.
NAMES = ("s3sync", "duckdb", "polars", "chdb", "pyarrow", "ingestr")


@dataclass(frozen=True)
class Run:
    """One run: a folder of its own, empty, and a prefix of its own in the output bucket, without a slash at its end."""

    prefix: str
    folder: Path
    endpoint: str


def program(name: str) -> ModuleType:
    return importlib.import_module(f"peers.programs.{name}")


def python(name: str, job: Job, run: Run) -> list[str]:
    """The command of a program that is a Python library: its module, with the job and where to write."""
    return [sys.executable, "-m", f"peers.programs.{name}", job.name, run.prefix]


def arguments() -> tuple[Job, str, str]:
    """What `python` gave: the job, the URI of its source, and the URI of the prefix to write under."""
    job = next(job for job in JOBS if job.name == sys.argv[1])
    return job, f"s3://{SOURCE_BUCKET}/{job.source}", f"s3://{OUTPUT_BUCKET}/{sys.argv[2]}"
