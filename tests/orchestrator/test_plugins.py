"""Methods and data sets from outside take part in a sweep: those of packages, and of modules that a YAML names."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import run, trials
from packages import install_outside

SPACE = """
name: outside
dataset: upright
model: {arch: digits-clip, pretrained: bundled}
methods: [distilled, "beside_yaml:Mine", "in_folder:Mine", "twice:Mine"]
train: {epochs: 1, batch_size: 20, warmup_steps: 0}
search: {algorithm: random, num_samples: 1, space: {lr: 1.0e-4, weight_decay: 0.0}}
repeats: {seeds: 2}
wise_ft: {alphas: 3}
"""
MODULE = """
from flyp_sweep.trainers.methods.zeroshot import ZeroShot

class Mine(ZeroShot):
    name = "{0}"
    summary = "zero-shot by another name"
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, beside that of a search space, with the modules that its methods name in several places."""
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # as in a console script: the working folder is not on the path
    install_outside(tmp_path / "site")
    for folder in ("spaces", "work"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twice.py").write_text("raise ImportError('this is not the first on the path')")
    (tmp_path / "spaces" / "outside.yaml").write_text(SPACE)
    for folder, name in (("spaces", "beside_yaml"), ("work", "in_folder"), ("site", "twice")):
        (tmp_path / folder / f"{name}.py").write_text(MODULE.format(name))
    return tmp_path / "work"


@pytest.mark.slow
def test_packages_and_modules_beside_the_yaml_in_the_working_folder_and_on_the_path_run_like_any_other(
    work: Path, tmp_path: Path
) -> None:
    code, output = run("run", "../spaces/outside.yaml", cwd=work, path=tmp_path / "site")
    assert code == 0, output
    assert "distilled" in output
    done = trials(work / "runs" / "outside")
    assert {(one["cell"]["dataset"], one["cell"]["method"], one["status"]) for one in done} == {
        ("upright", method, "done") for method in ("distilled", "beside_yaml:Mine", "in_folder:Mine", "twice:Mine")
    }
    assert all("pull" in one["hparams"] for one in done if one["cell"]["method"] == "distilled")
    listed = run("list", "methods", cwd=work, path=tmp_path / "site")[1]
    assert "plus pull * squared distance to the pretrained features (robust-things 1.0)" in listed
