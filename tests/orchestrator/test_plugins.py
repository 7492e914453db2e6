"""Methods, ensembles and data sets from outside take part in a sweep: of packages, and of modules that a YAML names."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import run, trials
from packages import install_outside
from serial_engine import run_serially

SPACE = """
name: outside
dataset: upright
model: {arch: digits-clip, pretrained: bundled}
ensembles: {surest: [distilled]}
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


LABELLED = """
from flyp_sweep.trainers.ensembles.logit_ensemble import LogitEnsemble
from flyp_sweep.trainers.methods.zeroshot import ZeroShot

class Mine(ZeroShot):
    name = "mine"
    label = "Mine & Co"
    summary = "zero-shot by another label"

class Plain(ZeroShot):
    name = "as_it_is"
    summary = "zero-shot by its name"

class Halves(LogitEnsemble):
    name = "halves"
    label = "& half"
    summary = "a logit ensemble by another label"
"""


def test_the_label_on_the_class_comes_out_of_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "labelled.py").write_text(LABELLED)
    (tmp_path / "labelled.yaml").write_text(
        "name: labelled\ndataset: digits\nmodel: {arch: digits-clip, pretrained: bundled}\n"
        "methods: ['labelled:Mine', 'labelled:Plain', zeroshot, ft]\nrepeats: {seeds: 2}\n"
        "ensembles: ['labelled:Halves']\nshots: 2\ntrain: {epochs: 1, batch_size: 20, warmup_steps: 0}\n"
        "search: {algorithm: none, space: {lr: 1.0e-4, weight_decay: 0.0}}\n"
    )
    code, output = run_serially("labelled.yaml", cwd=tmp_path)
    assert code == 0, output
    tables = tmp_path / "runs" / "labelled" / "tables"
    rows = [
        line.split("|")[1].strip() for line in (tables / "comparison.md").read_text().splitlines() if line[:1] == "|"
    ]
    assert list(dict.fromkeys(rows)) == ["Methods", ":--", "Zeroshot", "FT", "FT & half", "Mine & Co", "as it is"]
    assert r"FT \& half & " in (tables / "comparison.tex").read_text()
    assert r"Mine \& Co & " in (tables / "comparison.tex").read_text()


@pytest.mark.slow
def test_packages_and_modules_beside_the_yaml_in_the_working_folder_and_on_the_path_run_like_any_other(
    work: Path, tmp_path: Path
) -> None:
    code, output = run("run", "../spaces/outside.yaml", cwd=work, path=tmp_path / "site")
    assert code == 0, output
    assert "distilled" in output
    done = trials(work / "runs" / "outside")
    assert {(one["cell"]["dataset"], one["cell"]["method"], one["status"]) for one in done} == {
        ("upright", method, "done")
        for method in ("distilled", "distilled+surest", "beside_yaml:Mine", "in_folder:Mine", "twice:Mine")
    }
    assert all("pull" in one["hparams"] for one in done if one["cell"]["method"] == "distilled")
    assert "distilled by confidence" in output
    listed = run("list", "methods", cwd=work, path=tmp_path / "site")[1]
    assert "plus pull * squared distance to the pretrained features (robust-things 1.0)" in listed
