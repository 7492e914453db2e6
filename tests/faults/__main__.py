"""Plants known faults, one at a time, in a copy of the tree, and shows that the tests named for each find it.

    python tests/faults              all faults of faults.yaml
    python tests/faults NAME...      those of these names, or of these groups
    python tests/faults --list       what there is

The named tests run on the copy without a fault first: a test that fails anyway finds nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 600
PASSED, FAILED = 0, 1
"""pytest's exit codes; any other one means that the tests did not run."""
TIMED_OUT = 124


@dataclass(frozen=True)
class Fault:
    """One change of the code that the tests must find: `old` stands in `file` exactly once and becomes `new`."""

    group: str
    name: str
    fault: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def plant(self, tree: Path) -> None:
        """Change the file in `tree`. Raises SystemExit when the anchor is not unique."""
        path = tree / self.file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text.count(self.old) != 1:
            raise SystemExit(f"{self.name}: found the old text {text.count(self.old)} times in {self.file}; expected 1")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


def load(path: Path) -> list[Fault]:
    """All faults, in the order of the file."""
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = [
        Fault(group, **{**one, "tests": tuple(one["tests"])}) for group, faults in groups.items() for one in faults
    ]
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SystemExit(f"{path}: found {', '.join(twice)} more than once; expected each name once")
    return found


def chosen(faults: Sequence[Fault], names: Sequence[str]) -> list[Fault]:
    """The faults of these names and groups, all for none. Raises SystemExit for an unknown one."""
    unknown = set(names) - {one.name for one in faults} - {one.group for one in faults}
    if unknown:
        raise SystemExit(
            f"found {', '.join(sorted(unknown))}; expected names or groups of `python tests/faults --list`"
        )
    return [one for one in faults if not names or one.name in names or one.group in names]


def copy_tree(to: Path) -> None:
    """Copy what git tracks or would track, links as links."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if os.path.lexists(ROOT / name):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name, follow_symlinks=False)


def test(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """pytest's exit code on `tests` in `tree`, and its output."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = dict(os.environ, PYTHONPATH=str(tree), PYTHONDONTWRITEBYTECODE="1")
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, check=False, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return TIMED_OUT, f"the tests took longer than {TIMEOUT_SECONDS} s"
    return done.returncode, done.stdout + done.stderr


def try_out(fault: Fault) -> bool:
    """Plant one fault, run its tests, and print and return whether they find it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy_tree(Path(folder))
        fault.plant(Path(folder))
        code, output = test(Path(folder), fault.tests)
    failed = [
        line.split(" - ")[0].removeprefix("FAILED ") for line in output.splitlines() if line.startswith("FAILED ")
    ]
    verdict = {PASSED: "NOT FOUND", FAILED: "found"}.get(code, f"NOT RUN (pytest ended with {code})")
    print(f"{verdict:9} {fault.name:32} {time.monotonic() - began:4.0f} s  {', '.join(failed)}", flush=True)
    if code not in (PASSED, FAILED):
        print(output)
    return code == FAILED


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/faults", description="Shows that the tests find known faults.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="a fault or a group of faults; all where none is named"
    )
    parser.add_argument("--list", action="store_true", help="list the faults and run nothing")
    parser.add_argument("--suite-passed", action="store_true", help="skip the run without a fault")
    asked = parser.parse_args()
    faults = chosen(load(Path(__file__).with_name("faults.yaml")), asked.names)
    if asked.list:
        for one in faults:
            print(f"{one.group:11} {one.name:32} {one.fault}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        copy_tree(Path(folder))
        tests = sorted({name for one in faults for name in one.tests})
        code, output = (PASSED, "") if asked.suite_passed else test(Path(folder), tests)
    if code != PASSED:
        print(f"{output}\nthe tests do not pass without a fault")
        return 1
    found = [try_out(one) for one in faults]
    print(f"{sum(found)} of {len(found)} faults found")
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
