"""One command in a fresh process: how long, how much CPU, how much memory.

This module and what imports it stay small on purpose: Linux carries the memory of the process that starts another into the peak of the other,
so a harness with pyarrow loaded would show in every figure.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """What one process took. `failure` is None, or why it has no output."""

    wall_seconds: float
    cpu_seconds: float  # user and system, of the process and its children that ended
    rss_bytes: int  # the largest resident set of the process or one of its children
    failure: str | None


def measure(command: Sequence[str | Path], environment: dict[str, str], log: Path, limit_seconds: float) -> Measured:
    """Runs `command` to its end, or kills it and its children after `limit_seconds`. Its output goes to `log`.

    wait4's account holds the children that the process waited for, so a program that forks is counted whole.
    """
    with log.open("wb") as out:
        start = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            ended = os.pidfd_open(process.pid)
            try:
                late = not select.select([ended], [], [], limit_seconds)[0]
            finally:
                os.close(ended)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if late:
            os.killpg(process.pid, signal.SIGKILL)
        _, status, usage = os.wait4(process.pid, 0)
        wall_seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)  # it is waited for: Popen must not try
    failure = None
    if late:
        failure = f"gave up after {limit_seconds:.0f} s"
    elif process.returncode < 0:
        failure = f"killed by {signal.Signals(-process.returncode).name}"
    elif process.returncode > 0:
        failure = f"exit code {process.returncode}: {last_line(log)}"
    return Measured(wall_seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, failure)


def last_line(log: Path) -> str:
    """The end of what the program said, short enough for a table."""
    with log.open("rb") as text:
        text.seek(max(0, log.stat().st_size - 4096))
        lines = [line.strip() for line in text.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
