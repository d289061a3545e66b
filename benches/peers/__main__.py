"""s3sync beside its peers, from MinIO to MinIO. See `benches/peers/run`, which installs what this needs and starts it."""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from peers import minio, programs
from peers.jobs import JOBS, Job
from peers.measure import Measured, last_line, measure

#: Rows of the events table: 1.1 GB of csv.
ROWS, QUICK_ROWS = 5_000_000, 500_000
RUNS = 3

#: A program that takes longer than this for 5 million rows has given up, or we do: more than ten times what most take. More rows, more time.
LIMIT_SECONDS = 120.0

#: Making or checking 5 million rows takes a minute or two at most.
HELP_SECONDS = 1800

CHECKOUT = Path(__file__).parents[2]

QUICK_PROGRAMS = ("s3sync", "duckdb", "polars")


def say(text: str) -> None:
    print(f"benches/peers: {text}", file=sys.stderr, flush=True)


def chosen(names: tuple[str, ...]) -> Any:
    """An option's value: some of `names`, with commas between them."""

    def parse(text: str) -> tuple[str, ...]:
        parts = tuple(text.split(","))
        for part in parts:
            if part not in names:
                raise argparse.ArgumentTypeError(f"{part} is none of {', '.join(names)}")
        return parts

    return parse


def options() -> argparse.Namespace:
    jobs = tuple(job.name for job in JOBS)
    parser = argparse.ArgumentParser(prog="benches/peers/run", description="s3sync beside its peers, from MinIO to MinIO")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, one run without a warm-up, only duckdb and polars beside s3sync")
    parser.add_argument("--jobs", type=chosen(jobs), default=jobs, help=f"some of {','.join(jobs)}")
    parser.add_argument("--programs", type=chosen(programs.NAMES), help=f"some of {','.join(programs.NAMES)}")
    parser.add_argument("--runs", type=int, help=f"measured runs of each ({RUNS})")
    parser.add_argument("--rows", type=int, help=f"rows of the events table, at least 50,000 ({ROWS})")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the data stays for the next time, with logs and results")
    parser.add_argument("--serve", action="store_true", help="make the data, start MinIO, say where it is, and wait to be interrupted")
    given = parser.parse_args()
    given.programs = given.programs or (QUICK_PROGRAMS if given.quick else programs.NAMES)
    given.rows = given.rows or (QUICK_ROWS if given.quick else ROWS)
    given.warm_up = not given.quick
    given.runs = given.runs or (1 if given.quick else RUNS)
    if given.rows < 50_000:
        parser.error("--rows must be at least 50,000, for every partition to have some")
    return given


def helped(module: str, *arguments: str, environment: dict[str, str]) -> str:
    """What a module of ours printed, run in a process of its own so that this one stays small."""
    command = [sys.executable, "-m", f"peers.{module}", *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=HELP_SECONDS, text=True)
    if done.returncode != 0:
        raise SystemExit(f"benches/peers: {module} failed")
    return done.stdout


@contextlib.contextmanager
def place(keep: Path | None) -> Iterator[Path]:
    """The folder of this comparison: `keep`, or one that goes at the end."""
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
    else:
        with tempfile.TemporaryDirectory(prefix="peers.", dir=os.environ["S3SYNC_TESTS_DIR"]) as folder:
            yield Path(folder)


def digest(*names: str) -> str:
    """Changes whenever one of these files of ours does."""
    return hashlib.sha256(b"".join((Path(__file__).parent / name).read_bytes() for name in names)).hexdigest()


@contextlib.contextmanager
def store(folder: Path, rows: int) -> Iterator[tuple[minio.Minio, dict[str, Any]]]:
    """A store that has the data, made now unless it is there, and the true figures of every table."""
    record = folder / "made.json"
    made = json.loads(record.read_text()) if record.exists() else {}
    data = {"rows": rows, "generator": digest("data.py", "tables.py")}
    check = digest("check.py", "tables.py", "requirements-quick.txt")
    if made.get("data") != data:
        record.unlink(missing_ok=True)
        shutil.rmtree(folder / "minio", ignore_errors=True)
    binary = Path(os.environ["S3SYNC_TESTS_DIR"]) / "bin" / "minio"
    with minio.running(binary, folder / "minio", folder / "log" / "minio") as server:
        if made.get("data") != data:
            say(f"making {rows} rows")
            helped("data", str(rows), environment=server.environment())
            made = {"data": data}
            record.write_text(json.dumps(made))
        if made.get("check") != check:
            made |= {"check": check, "truth": json.loads(helped("check", "sources", str(rows), environment=server.environment()))}
            record.write_text(json.dumps(made))
        yield server, made["truth"]


def figures(result: dict[str, Any]) -> str:
    wall, cpu, rss, requests = (result[name] for name in ("wall_seconds", "cpu_seconds", "rss_bytes", "requests"))
    return f"{wall:.1f} s, CPU {cpu:.1f} s, {rss / 1e6:.0f} MB, {requests} requests"


class Comparison:
    """The runs, one after another, and what they took."""

    def __init__(self, folder: Path, server: minio.Minio, truth: dict[str, Any], limit_seconds: float) -> None:
        self.folder, self.server, self.limit_seconds = folder, server, limit_seconds
        self.truth = json.dumps(truth)
        self.results: dict[str, dict[str, Any]] = {}

    def run(self, job: Job, name: str, number: int) -> dict[str, Any]:
        """One run and its check: the figures, with `failure` None or the reason why there is no right output."""
        run = programs.Run(f"{job.name}-{name}-{number}", self.folder / "run", self.server.endpoint)
        shutil.rmtree(run.folder, ignore_errors=True)
        run.folder.mkdir()
        log = self.folder / "log" / run.prefix
        environment = self.server.environment() | {"TMPDIR": str(run.folder)}
        command = programs.program(name).command(job, run)
        os.sync()  # what the last one wrote must not be written during this one
        before = self.server.requests()
        measured: Measured = measure(command, environment, log, self.limit_seconds)
        result = asdict(measured) | {"requests": self.server.requests() - before}
        checked = subprocess.run(
            [sys.executable, "-m", "peers.check", job.name, run.prefix],
            env=self.server.environment() | {"S3SYNC_PEERS_TRUTH": self.truth},
            capture_output=True,
            timeout=HELP_SECONDS,
        )
        shutil.rmtree(run.folder)
        if result["failure"] is None and checked.returncode != 0:
            check_log = log.with_name(f"{run.prefix}.check")
            check_log.write_bytes(checked.stderr)
            result["failure"] = f"wrong rows: {last_line(check_log)}"
        return result | (json.loads(checked.stdout) if result["failure"] is None else {})

    def job(self, job: Job, names: tuple[str, ...], runs: int, warm_up: bool) -> None:
        """Each program in turn, then each again: what else the machine does meets all of them. Who fails once is not run again."""
        entries = {name: {"cannot": programs.program(name).cannot(job), "runs": []} for name in names}
        for number in range(0 if warm_up else 1, runs + 1):
            for name, entry in entries.items():
                if entry["cannot"]:
                    continue
                result = self.run(job, name, number)
                if result["failure"]:
                    entry["cannot"] = result["failure"]
                elif number > 0:
                    entry["runs"].append(result)
                say(f"{job.name}, {name}, {'warm-up' if number == 0 else f'run {number}'}: {result['failure'] or figures(result)}")
        self.results[job.name] = entries


def main() -> None:
    # An end from outside is an exit too: the server and the folder go with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    given = options()
    with place(given.keep) as folder:
        (folder / "log").mkdir(exist_ok=True)
        with store(folder, given.rows) as (server, truth):
            if given.serve:
                say(f"serving buckets raw and lake at {server.endpoint}, key {minio.USER}, secret {minio.PASSWORD}; interrupt to end")
                with contextlib.suppress(KeyboardInterrupt):
                    server.process.wait()
                return
            comparison = Comparison(folder, server, truth, LIMIT_SECONDS * max(1.0, given.rows / ROWS))
            for job in JOBS:
                if job.name in given.jobs:
                    comparison.job(job, given.programs, given.runs, given.warm_up)
            if not given.quick:
                report(given, folder, comparison.results, json.loads(helped("facts", environment=server.environment())))
    # A peer that cannot is a finding; that we cannot is a failure. In a quick run all must.
    wrong = [
        f"{job}, {name}: {entry['cannot']}"
        for job, entries in comparison.results.items()
        for name, entry in entries.items()
        if entry["cannot"] and (given.quick or name == "s3sync")
    ]
    if wrong:
        raise SystemExit("benches/peers: " + "; ".join(wrong))


def report(given: argparse.Namespace, folder: Path, results: dict[str, Any], facts: dict[str, Any]) -> None:
    """The page and the plot: into docs/ when everything was compared, else beside the results."""
    file = folder / "results.json"
    file.write_text(json.dumps({"rows": given.rows, "runs": given.runs, "programs": given.programs, "facts": facts, "jobs": results}, indent=1))
    whole = given.rows == ROWS and given.runs >= RUNS and len(given.jobs) == len(JOBS) and len(given.programs) == len(programs.NAMES)
    print(helped("report", str(file), str(CHECKOUT / "docs" if whole else folder), environment=dict(os.environ)))


if __name__ == "__main__":
    main()
