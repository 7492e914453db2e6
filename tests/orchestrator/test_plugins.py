"""Methods and data sets from outside take part in a sweep: those of packages, and of modules that a YAML names."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import call, run, trials
from packages import install, install_outside

pytestmark = pytest.mark.slow

SPACE = """
name: outside
dataset: upright
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, distilled]
train: {epochs: 1, batch_size: 20, warmup_steps: 0}
search: {algorithm: random, num_samples: 1, space: {lr: 1.0e-4, weight_decay: 0.0}}
repeats: {seeds: 2}
wise_ft: {alphas: 3}
"""


def test_its_method_and_data_set_run_like_any_other(tmp_path):
    site = tmp_path / "site"
    install_outside(site)
    (tmp_path / "outside.yaml").write_text(SPACE)
    code, output = run("run", "outside.yaml", cwd=tmp_path, path=site)
    assert code == 0, output
    done = trials(tmp_path / "runs" / "outside")
    assert {(one["cell"]["dataset"], one["cell"]["method"], one["status"]) for one in done} == {
        ("upright", "zeroshot", "done"),
        ("upright", "distilled", "done"),
    }
    assert all("pull" in one["hparams"] for one in done if one["cell"]["method"] == "distilled")
    assert "distilled" in run("table", "runs/outside", cwd=tmp_path, path=site)[1]
    listed = run("list", "methods", cwd=tmp_path, path=site)[1]
    assert "plus pull * squared distance to the pretrained features (robust-things 1.0)" in listed
    install(site, "other-things", {"flyp_sweep.datasets": {"digits": "upright:Upright"}})
    code, output = run("list", "datasets", cwd=tmp_path, path=site)
    assert (code, len(output.splitlines())) == (2, 1)
    assert "found 'digits' in flyp-sweep itself and in other-things 1.0; expected every name once" in output


MODULE = """
from flyp_sweep.trainers.methods.zeroshot import ZeroShot

class {0}(ZeroShot):
    name = "{1}"
    summary = "zero-shot by another name"
"""

NAMED = """
name: named
dataset: digits
model: {arch: digits-clip, pretrained: bundled}
methods: ["beside_yaml:Mine", "in_folder:Mine", "twice:Mine"]
search: {algorithm: random, num_samples: 1}
wise_ft: {alphas: 3}
"""


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, beside that of a search space, with the modules that its methods name in several places.

    Python puts neither folder on its path: so the console script is started.
    """
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    for folder in ("spaces", "work", "site"):
        (tmp_path / folder).mkdir()
    (tmp_path / "spaces" / "named.yaml").write_text(NAMED)
    (tmp_path / "spaces" / "beside_yaml.py").write_text(MODULE.format("Mine", "beside_yaml"))
    (tmp_path / "work" / "in_folder.py").write_text(MODULE.format("Mine", "in_folder"))
    (tmp_path / "site" / "twice.py").write_text(MODULE.format("Mine", "twice"))
    for folder in ("spaces", "work"):
        (tmp_path / folder / "twice.py").write_text("raise ImportError('this is not the first on the path')")
    return tmp_path


def test_modules_beside_the_yaml_and_in_the_working_folder_are_found_after_those_on_the_path(named: Path) -> None:
    code, output = run("run", "../spaces/named.yaml", cwd=named / "work", path=named / "site")
    assert code == 0, output
    done = {one["cell"]["method"] for one in trials(named / "work" / "runs" / "named") if one["status"] == "done"}
    assert done == {"beside_yaml:Mine", "in_folder:Mine", "twice:Mine"}


def test_a_module_that_is_nowhere_is_one_line_with_the_places(named: Path) -> None:
    (named / "spaces" / "beside_yaml.py").unlink()
    code, output = call("run", named / "spaces" / "named.yaml", cwd=named / "work")
    assert (code, len(output.splitlines())) == (2, 1)
    assert (
        "named.yaml: methods: found 'beside_yaml:Mine'; expected its module 'beside_yaml' on the Python path, "
        f"in {named / 'spaces'} or in {named / 'work'}" in output
    )
