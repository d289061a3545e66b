"""What a comparison found, as a page and a plot.

    python -m peers.report RESULTS.json FOLDER     writes benchmarks.md and benchmarks.svg into FOLDER, prints the page

Medians of the measured runs; a ratio is s3sync's figure by the best of the others, so below 1 is better.
"""

import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

from peers.jobs import JOBS
from peers.programs import program

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "s3sync"  # the same figures, the same bytes

from matplotlib import pyplot  # noqa: E402  the backend comes first


@dataclass(frozen=True)
class Metric:
    """One figure of a run, and how it is shown."""

    field: str
    title: str
    show: Callable[[float], str]
    scale: float = 1.0


METRICS = (
    Metric("wall_seconds", "wall, s", lambda value: f"{value:.1f}"),
    Metric("cpu_seconds", "CPU, s", lambda value: f"{value:.1f}"),
    Metric("rss_bytes", "peak RSS, MB", lambda value: f"{value:.0f}", 1e-6),
    Metric("requests", "S3 requests", lambda value: f"{value:,.0f}"),
    Metric("bytes", "output, MB", lambda value: f"{value:.1f}" if value < 10 else f"{value:.0f}", 1e-6),
)

OURS = "s3sync"


class Results:
    """The results file, by job and program."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.all = results
        self.names: list[str] = results["programs"]
        self.jobs = [job for job in JOBS if job.name in results["jobs"]]

    def entry(self, job: str, name: str) -> dict[str, Any]:
        entry: dict[str, Any] = self.all["jobs"][job][name]
        return entry

    def median(self, job: str, name: str, metric: Metric) -> float | None:
        """None when the program did not do the job."""
        entry = self.entry(job, name)
        return None if entry["cannot"] else statistics.median(run[metric.field] for run in entry["runs"]) * metric.scale

    def best_peer(self, job: str, metric: Metric) -> tuple[float, str] | None:
        figures = ((self.median(job, name, metric), name) for name in self.names if name != OURS)
        return min(((figure, name) for figure, name in figures if figure is not None), default=None)

    def ratio(self, job: str, metric: Metric) -> float | None:
        if OURS not in self.names:
            return None
        ours, best = self.median(job, OURS, metric), self.best_peer(job, metric)
        return ours / best[0] if ours is not None and best else None


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def ratios(results: Results) -> str:
    rows = []
    for job in results.jobs:
        row = [job.title]
        for metric in METRICS:
            ratio, best = results.ratio(job.name, metric), results.best_peer(job.name, metric)
            row.append(f"{ratio:.2f} ({program(best[1]).NAME})" if ratio is not None and best else "–")
        rows.append(row)
    return table(["job", *(metric.title.split(",")[0] for metric in METRICS)], rows)


def job_table(results: Results, job: str) -> str:
    rows = []
    for name in results.names:
        entry = results.entry(job, name)
        if entry["cannot"]:
            rows.append([program(name).NAME, *["–"] * (len(METRICS) + 2), entry["cannot"]])
            continue
        row = [program(name).NAME]
        for metric in METRICS:
            figure = results.median(job, name, metric)
            row.append(metric.show(figure) if figure is not None else "–")
        walls = [run["wall_seconds"] for run in entry["runs"]]
        row[2:2] = [f"{min(walls):.1f} to {max(walls):.1f}"]
        last = entry["runs"][-1]
        row += [str(last["objects"]), "".join(f"left {column} as text" for column in last["text_columns"][:1])]
        rows.append(row)
    titles = [metric.title for metric in METRICS]
    return table(["program", titles[0], "from, to", *titles[1:], "files", "note"], rows)


def sources(sizes: dict[str, int]) -> str:
    return ", ".join(f"{key} {size / 1e6:,.0f} MB" for key, size in sizes.items())


def page(results: Results) -> str:
    facts = results.all["facts"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    sections = "\n\n".join(f"### {job.title}\n\n{job_table(results, job.name)}" for job in results.jobs)
    return f"""# Benchmarks

s3sync beside other programs that convert tables in S3: the same rows, from a MinIO to the same MinIO, on one machine.
`benches/peers/run` makes this page. Figures of another machine differ: only ratios inside one run count.

- Machine: {facts["cores"]} cores ({facts["processor"]}), {facts["memory_bytes"] / 2**30:.0f} GiB of memory, {facts["system"]}; {facts["date"]}.
- Versions: {versions}.
- Data, from a seeded generator: {results.all["rows"]:,} rows of id, ts, user, country, type, amount, url, nullable referrer, and free text with
  quotes and newlines; the first of them as many small objects; and a csv of 200 columns. {sources(facts["sources"])}.
- Each figure is the median of {results.all["runs"]} runs after a warm-up, programs taking turns. Every run is a fresh process; wall time, CPU time
  (user and system) and peak RSS are the kernel's account of it (`wait4`), requests are MinIO's. MinIO takes its CPU from the same cores.
- Every output of every run was read by DuckDB and had the right rows: their number, the sums of numeric columns, a digest of each column
  and of whole rows. What a program cannot do, or did wrong, is shown with the reason.
- All write parquet with zstd at level 3, csv and jsonl uncompressed. Timestamps become timestamps, from jsonl by a cast where a program
  does not see them by itself. Every program may change the order of rows, is run as its manual says is fastest, and has its default
  memory limit. s3sync has its default budget, starts without state, and stages, verifies and commits as always. The commands are in
  [benches/peers/programs](../benches/peers/programs).
- DuckDB is the newest release whose httpfs extension is on PyPI, too. ingestr's PyPI package downloads the program from GitHub.

## s3sync by the best of the others

Below 1, s3sync takes less. In brackets is who is best at that.

{ratios(results)}

![Wall time, CPU time, peak RSS, requests and output bytes of every program, by job](benchmarks.svg)

## By job

{sections}
"""


def plot(results: Results, file: Path) -> None:
    """A row a job, a column a metric, a bar a program; a bar that is not there is a job not done."""
    rows, columns = len(results.jobs), len(METRICS)
    figure, axes = pyplot.subplots(rows, columns, figsize=(3.2 * columns, 0.5 + 0.28 * rows * (len(results.names) + 1.5)), squeeze=False)
    for job, line in zip(results.jobs, axes, strict=True):
        for metric, axis in zip(METRICS, line, strict=True):
            figures = [results.median(job.name, name, metric) for name in results.names]
            colors = ["#c2410c" if name == OURS else "#94a3b8" for name in results.names]
            bars = axis.barh([program(name).NAME for name in results.names], [figure or 0 for figure in figures], color=colors)
            axis.bar_label(bars, [metric.show(figure) if figure is not None else "–" for figure in figures], padding=2, fontsize=7)
            axis.invert_yaxis()
            axis.margins(x=0.25)
            axis.tick_params(labelsize=7, length=0)
            axis.set_xticks([])
            axis.spines[["top", "right", "bottom"]].set_visible(False)
            if metric is not METRICS[0]:
                axis.set_yticklabels([])
            axis.set_title(job.title if metric is METRICS[0] else "", fontsize=9, loc="left", fontweight="bold")
            if job is results.jobs[0]:
                axis.annotate(metric.title, (0, 1), (0, 22), "axes fraction", textcoords="offset points", fontsize=10)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None, "Creator": None})


def main() -> None:
    results = Results(json.loads(Path(sys.argv[1]).read_text()))
    folder = Path(sys.argv[2])
    text = page(results)
    (folder / "benchmarks.md").write_text(text)
    plot(results, folder / "benchmarks.svg")
    print(text)


if __name__ == "__main__":
    main()
