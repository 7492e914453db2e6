"""What the benchmarks share: runs that alternate, medians with their spread, and the Markdown of it all."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil
from processes import family

HERE = Path(__file__).parent
PACKAGES = ("flyp-sweep", "torch", "open_clip_torch", "ray", "mlflow", "optuna", "numpy")


@dataclass(frozen=True)
class Options:
    """How often and how large; `tiny` shrinks every benchmark to a trial of itself, whose numbers mean nothing."""

    runs: int = 5
    protocol_runs: int = 1
    tiny: bool = False


@dataclass(frozen=True)
class Sample:
    """Measurements of one thing, in one unit; printed as their median, least and greatest."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    def told(self, unit: str, scale: float = 1.0, digits: int = 4) -> str:
        """For example `1.23 s (1.1 to 1.4)`."""
        middle, low, high = (f"{scale * one:.{digits}g}" for one in (self.median, min(self.values), max(self.values)))
        return f"{middle} {unit} ({low} to {high})" if len(self.values) > 1 else f"{middle} {unit}"

    def over(self, other: Sample) -> Sample:
        """The ratios of the pairs that were measured one after the other."""
        return Sample(tuple(one / two for one, two in zip(self.values, other.values, strict=True)))


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, the two sides, what it comes to, how many runs, what else to know."""

    what: str
    ours: str
    against: str
    result: str
    runs: int
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What one benchmark found."""

    rows: Sequence[Row]


Benchmark = Callable[[Options], Report]


def alternate(runs: int, *measures: Callable[[], float]) -> list[Sample]:
    """Each measure `runs` times, taking turns, every other round in reverse: a drift of the machine meets all alike."""
    values: list[list[float]] = [[] for _ in measures]
    for number in range(runs):
        order = range(len(measures)) if number % 2 == 0 else reversed(range(len(measures)))
        for place in order:
            values[place].append(measures[place]())
    return [Sample(tuple(found)) for found in values]


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def sweep_command(space: Path | str, out: Path, *more: object) -> list[str]:
    """`flyp-sweep run`, with the MLflow store beside the run folder."""
    return list(map(str, [sys.executable, "-m", "flyp_sweep", "run", space, "--out", out, *more]))


def environment(out: Path) -> dict[str, str]:
    """That of this process, with this folder on the module path, and no tracking server that others use.

    What a sweep computes once per machine lies beside its run folder `out`: no sweep profits of an earlier one.
    """
    before = os.environ.get("PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    kept["FLYP_SWEEP_CACHE"] = str(out.with_name(f"{out.name}-cache").absolute())
    return {**kept, "PYTHONPATH": os.pathsep.join([str(HERE), *([before] if before else [])])}


def sweep(space: Path | str, out: Path, *more: object) -> str:
    """Run a sweep to its end; what it printed. Raises RuntimeError when it does not end well."""
    command = sweep_command(space, out, *more)
    ran = subprocess.run(command, env=environment(out), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stdout}")
    return ran.stdout


@contextmanager
def under_way(space: Path, out: Path, *more: object) -> Iterator[subprocess.Popen[bytes]]:
    """The driver of a sweep, which is killed with all that it started when the block ends before it.

    Raises RuntimeError when the sweep ends by itself, and not well.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with (out.parent / "log").open("w") as log:
        command = sweep_command(space, out, *more)
        driver = subprocess.Popen(command, env=environment(out), stdout=log, stderr=subprocess.STDOUT)
    try:
        yield driver
    finally:
        for process in family(driver.pid):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        driver.wait()
    if driver.returncode > 0:
        raise RuntimeError((out.parent / "log").read_text())


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for one run, gone after it."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def machine() -> str:
    """The machine and the versions, in a paragraph."""
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{date.today().isoformat()}. {os.cpu_count()} cores, {processor()}, {memory:.0f} GiB of memory, "
        f"{platform.system()} {platform.release()}. Python {platform.python_version()}, {versions}."
    )


def processor() -> str:
    """The model of the CPU, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def markdown(reports: Sequence[Report], options: Options) -> str:
    """The page: machine and table."""
    head = ["# Benchmarks", "", machine()]
    if options.tiny:
        head += ["", "**Tiny: sizes are cut down to see that everything runs. These are no measurements.**"]
    head += [
        "",
        "Medians, with the least and the greatest in brackets; both sides of a line took turns in one run.",
        "",
    ]
    lines = ["| what | ours | against | result | runs | note |", "| :-- | :-- | :-- | :-- | --: | :-- |"]
    for row in (row for report in reports for row in report.rows):
        lines.append(f"| {row.what} | {row.ours} | {row.against} | {row.result} | {row.runs} | {row.note} |")
    return "\n".join([*head, *lines, ""])


def parser(description: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--runs", type=int, default=Options.runs, help="runs of each side (%(default)s)")
    made.add_argument(
        "--protocol-runs", type=int, default=Options.protocol_runs, help="runs of whole protocols (%(default)s)"
    )
    made.add_argument("--tiny", action="store_true", help="cut everything down, to see that it runs")
    made.add_argument("-o", "--output", type=Path, help="write the Markdown to this file too")
    return made


def options_of(parsed: argparse.Namespace) -> Options:
    return Options(parsed.runs, parsed.protocol_runs, parsed.tiny)


def write(reports: Sequence[Report], options: Options, output: Path | None, quiet: bool = False) -> None:
    """Print the page unless `quiet`, and write it to `output` where there is one."""
    page = markdown(reports, options)
    if not quiet:
        print(page)
    if output:
        output.write_text(page, encoding="utf-8")


def main(benchmark: Benchmark, description: str | None) -> None:
    """The command line of one benchmark alone."""
    parsed = parser(description).parse_args()
    options = options_of(parsed)
    write([benchmark(options)], options, parsed.output)
