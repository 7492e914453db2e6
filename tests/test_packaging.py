"""The package as users get it: what a wheel and an sdist hold, and that the names of neighbours do not matter to it."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest
from commands import QUICK, trials
from installation import copy_of_tree, install, make_sdist, make_wheel

import flyp_sweep

pytestmark = pytest.mark.slow

SHIPPED = {
    "flyp_sweep/py.typed",
    "flyp_sweep/orchestrator/data_views/data.html",
    "flyp_sweep/results/report/page.html",
    "flyp_sweep/results/report/style.css",
    "flyp_sweep/results/tables/published.yaml",
    "flyp_sweep/search_spaces/quickstart.yaml",
    "flyp_sweep/trainers/models/digits_clip/README.md",
    "flyp_sweep/trainers/models/digits_clip/digits-clip.json",
    "flyp_sweep/trainers/models/digits_clip/digits-clip.safetensors",
}
RAISES = "raise ImportError('this is a neighbour of flyp-sweep, which it has no use for')"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_tree(tmp_path_factory.mktemp("source") / "tree")


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel by way of an sdist, as package indexes and `python -m build` have it."""
    return make_wheel(make_sdist(tree, tmp_path_factory.mktemp("sdist")), tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment in which the wheel is installed."""
    return install(wheel, tmp_path_factory.mktemp("environment"))


def contents(wheel: Path) -> set[str]:
    """The names of the files in a wheel, none of which is a symbolic link."""
    with ZipFile(wheel) as archive:
        files = archive.infolist()
    assert not [file.filename for file in files if stat.S_ISLNK(file.external_attr >> 16)]
    return {file.filename for file in files}


def test_a_wheel_holds_one_package_whole_by_way_of_an_sdist_or_not(wheel: Path, tree: Path, tmp_path: Path) -> None:
    names = contents(wheel)
    assert contents(make_wheel(tree, tmp_path)) == names
    assert {name.split("/")[0] for name in names} == {
        "flyp_sweep",
        f"flyp_sweep-{flyp_sweep.__version__}.dist-info",
    }
    package = tree / "flyp_sweep"
    ours = {
        (Path(folder) / file).relative_to(tree).as_posix()
        for folder, _, files in os.walk(package, followlinks=True)
        for file in files
    }
    assert ours > SHIPPED
    assert {name for name in names if name.startswith("flyp_sweep/")} == ours
    assert f"flyp_sweep-{flyp_sweep.__version__}.dist-info/licenses/LICENSE" in names


def test_a_sweep_runs_beside_neighbours_of_the_same_names(commands: Path, tmp_path: Path) -> None:
    for name in ("results", "trainers", "orchestrator", "search_spaces"):
        (tmp_path / f"{name}.py").write_text(RAISES)
    (tmp_path / "quick.yaml").write_text(QUICK)
    environment = dict(os.environ, PYTHONPATH=".")

    def output(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = output(str(commands / "python"), "-c", "import flyp_sweep; print(flyp_sweep.__file__)")
    assert Path(where).is_relative_to(commands.parent), "an editable install is not what is tested"
    output(str(commands / "flyp-sweep"), "run", "quick.yaml")
    done = trials(tmp_path / "runs" / "quick")
    assert {(one["cell"]["method"], one["status"]) for one in done} == {("zeroshot", "done"), ("lp", "done")}
    table = output(str(commands / "flyp-sweep"), "table", "runs/quick", "--format", "markdown")
    assert f"Made with flyp-sweep {flyp_sweep.__version__}, " in table
    assert table == (tmp_path / "runs" / "quick" / "tables" / "comparison.md").read_text()
