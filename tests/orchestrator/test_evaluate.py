"""A finished run is evaluated on data that came later: without a training step where its weights are kept."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import call
from commands import run as command
from guarded import FORBIDDEN
from own_runs import SPACE, write_tree
from serial_engine import evaluate_serially, run_serially

from flyp_sweep.orchestrator.runs.evaluate import data_sets

METHODS = {
    "methods": ["zeroshot", "lp", "guarded:Guarded"],
    "ensembles": {"greedy_soup": ["guarded:Guarded"], "logit_ensemble": ["guarded:Guarded"]},
    "repeats": {"seeds": 3},
}
REPEATS = 4
"""Of the run that keeps all weights: one of the zero-shot model, three of the method."""
LATER: dict[str, Any] = {"name": "later", "folders": {"id_test": "night"}}
SAME: dict[str, Any] = {"name": "threes", "folders": {"ood": {"later": "night"}}}
SUPPORT = Path(__file__).parents[1] / "support"


def written(root: Path, name: str, content: Any) -> str:
    (root / name).write_text(yaml.safe_dump(content))
    return name


def finished(root: Path, keep: str, **more: Any) -> Path:
    write_tree(root)
    space = written(root, "space.yaml", SPACE | METHODS | {"weights": {"keep": keep}} | more)
    code, output = run_serially(space, cwd=root, data_root=root)
    assert code == 0, output
    return root


@pytest.fixture(scope="module")
def keeping_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("all"), "all", methods=["zeroshot", "guarded:Guarded"], ensembles=None)


@pytest.fixture(scope="module")
def with_it_from_the_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("fresh"), "none", evaluate=[LATER])


@pytest.fixture(scope="module")
def with_later(keeping_all: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that keeps all, evaluated on LATER."""
    root = copied(keeping_all, tmp_path_factory.mktemp("later"))
    code, output = evaluated(root, written(root, "later.yaml", [LATER]))
    assert code == 0, output
    return root


def copied(finished: Path, to: Path) -> Path:
    return Path(shutil.copytree(finished, to / "copy", ignore=shutil.ignore_patterns("mlflow*")))


@pytest.fixture
def root(keeping_all: Path, tmp_path: Path) -> Path:
    return copied(keeping_all, tmp_path)


def evaluated(root: Path, *on: str, **options: Any) -> tuple[int, str]:
    return evaluate_serially(run_of(root), *on, cwd=root, data_root=root, **options)


def run_of(root: Path) -> Path:
    return root / "runs" / "own"


def records(root: Path, kind: str = "trial") -> list[dict[str, Any]]:
    lines = (run_of(root) / "ledger.jsonl").read_text().splitlines()
    return [one for one in map(json.loads, lines) if one["kind"] == kind]


def tables(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run_of(root) / "tables").glob("*.csv")}


def kept(root: Path) -> set[str]:
    return {path.stem for path in (run_of(root) / "weights").glob("*.safetensors")}


@pytest.mark.parametrize(
    ("keep", "other"), [("all", LATER), ("best", SAME)], ids=["all, another data set", "best, an ood set of the same"]
)
def test_kept_fits_are_evaluated_without_a_step_and_the_table_is_that_of_a_run_that_had_it(
    with_it_from_the_start: Path, keep: str, other: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = finished(tmp_path, keep)
    before, models = records(root), kept(root)
    assert len(models) == {"all": 6, "best": 4}[keep]
    monkeypatch.setenv(FORBIDDEN, ",".join(models))
    on = written(root, "later.yaml", other)
    if keep == "best":
        code, output = evaluated(root, on)
        assert code == 2
        assert "error: 4 of 13 finished trials would be trained again" in output.splitlines()[-1]
        assert records(root) == before
    code, output = evaluated(root, on, yes=keep == "best")
    assert code == 0, output
    assert records(root)[: len(before)] == before
    repeats = {one["trial_id"] for one in before if one["stage"] == "repeat"}
    assert {one["trial_id"] for one in records(root)[len(before) :]} == repeats
    assert kept(root) == models
    assert tables(root) == tables(with_it_from_the_start)


def test_the_models_of_a_run_stay_until_a_changed_search_space_has_others(root: Path) -> None:
    models = kept(root)
    code, output = run_serially("space.yaml", "train.epochs=3", cwd=root, data_root=root, yes=True, stop_after=0)
    assert (code, "no longer match" in output) == (130, True), output
    assert kept(root) == models


def test_what_is_evaluated_already_takes_one_line_and_changes_nothing(with_later: Path, tmp_path: Path) -> None:
    root = copied(with_later, tmp_path)
    before = (run_of(root) / "ledger.jsonl").read_bytes(), (run_of(root) / "space.yaml").read_bytes()
    for given in (["later.yaml"], ["later.yaml", "space.yaml"], []):
        code, output = evaluated(root, *given)
        assert (code, output) == (0, f"{run_of(root)}: nothing to do, all repeats are evaluated on these data\n")
    assert before == ((run_of(root) / "ledger.jsonl").read_bytes(), (run_of(root) / "space.yaml").read_bytes())


def test_an_interrupted_evaluation_goes_on(root: Path, with_later: Path) -> None:
    on, count = written(root, "later.yaml", [LATER]), len(records(root))
    assert evaluated(root, on, stop_after=1)[0] == 130
    assert len(records(root)) == count + 1
    code, output = evaluated(root, on)
    assert code == 0, output
    assert len(records(root)) == count + REPEATS
    assert tables(root) == tables(with_later)


def test_the_space_of_before_takes_the_columns_away(with_later: Path, keeping_all: Path, tmp_path: Path) -> None:
    root = copied(with_later, tmp_path)
    code, output = run_serially("space.yaml", cwd=root, data_root=root)
    assert code == 0, output
    assert records(root) == records(with_later)
    assert tables(root) == tables(keeping_all)


def test_an_ood_set_in_the_yaml_of_a_finished_run_is_evaluated_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FORBIDDEN, ",".join(one["trial_id"] for one in records(root)))
    folders = SPACE["dataset"]["folders"] | {"ood": {"sketch": "sketch", "later": "night"}}
    space = yaml.safe_load((root / "space.yaml").read_text())
    written(root, "space.yaml", space | {"dataset": SPACE["dataset"] | {"folders": folders}})
    code, output = run_serially("space.yaml", cwd=root, data_root=root)
    assert code == 0, output
    assert "4 finished trials no longer match: dataset.ood.later was added" in output
    assert "; 4 will only be evaluated, with the weights that the run has kept\n" in output


def test_time_of_training_counts_after_an_evaluation_too(with_later: Path, tmp_path: Path) -> None:
    root = copied(with_later, tmp_path)
    shutil.rmtree(run_of(root) / "weights")
    code, output = evaluated(root, written(root, "same.yaml", SAME | {"folders": {"ood": {"night": "night"}}}))
    assert code == 2
    assert "4 of 6 finished trials would be trained again (dataset.ood.night was added)" in output


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (LATER, ["later"]),
        ([LATER, "mnist"], ["later", "mnist"]),
        ("mnist", ["mnist"]),
        (SPACE | {"dataset": ["digits", SPACE["dataset"]]}, ["digits", "threes"]),
    ],
    ids=["one", "a list", "a name", "a search space"],
)
def test_a_file_describes_data_sets(tmp_path: Path, content: Any, found: list[str]) -> None:
    path = tmp_path / written(tmp_path, "data.yaml", content)
    assert [one if isinstance(one, str) else one.name for one in data_sets(str(path))] == found


def test_names_are_those_of_data_sets_first_and_of_search_spaces_second() -> None:
    assert data_sets("imagenet") == ("imagenet",)
    assert data_sets("fewshot_sst2") == ("rendered_sst2",)


@pytest.mark.parametrize(
    ("on", "said"),
    [
        (
            "mnits",
            "--on: found 'mnits'; expected a data set (flyp-sweep list datasets), a YAML file that describes some",
        ),
        ("absent.yaml", "absent.yaml: found no such file; expected a YAML file or one of the bundled"),
        ({"name": "x"}, "x.yaml: evaluate: found no key that names images"),
        (
            {"name": "x", "folders": {"test": "night"}},
            "x.yaml: unknown key 'test' in evaluate.folders; allowed: train,",
        ),
        ({**LATER, "folders": {"id_test": "nihgt"}}, "dataset 'later': found no "),
        (
            "digits",
            "evaluate: found 7 classes of data set 'digits' that 'threes' does not have: 'three', 'four', 'five'",
        ),
        (
            SAME | {"folders": {"train": "night"}},
            "threes.folders.train: found 'night'; expected 'train', as in the run",
        ),
        (
            SAME | {"folders": {"ood": {"sketch": "night"}}},
            "threes.folders.ood.sketch: found 'night'; expected 'sketch'",
        ),
        (
            SAME | {"folders": {"ood_val": {"sketch": "sketch"}}},
            "ood: found 'sketch'; expected a label that ood_val does",
        ),
        (
            SAME | {"metric": "macro_f1"},
            "threes.metric: found 'macro_f1'; expected 'accuracy', as in the run (give the",
        ),
    ],
)
def test_bad_input_is_one_line_and_costs_nothing(root: Path, on: Any, said: str) -> None:
    before = records(root)
    code, output = evaluated(root, on if isinstance(on, str) else written(root, "x.yaml", on))
    assert (code, output.count("error: ")) == (2, 1)
    assert said in output
    assert output.splitlines()[-1].startswith("error: ")
    assert records(root) == before


def test_a_run_that_is_not_finished_is_refused(root: Path) -> None:
    on = written(root, "later.yaml", [LATER])
    lines = (run_of(root) / "ledger.jsonl").read_text().splitlines(keepends=True)
    (run_of(root) / "ledger.jsonl").write_text("".join(lines[:-1]))
    assert "found 1 trial that would have to be trained first; expected a finished run" in evaluated(root, on)[1]
    (run_of(root) / "ledger.jsonl").write_text("".join(line for line in lines if '"stage":"repeat"' not in line))
    code, output = evaluated(root, on)
    assert code == 2
    assert "found no finished repeat; expected some to evaluate; finish the run first" in output


@pytest.mark.slow
def test_the_command_evaluates_on_ray_what_a_process_does(root: Path, with_later: Path, monkeypatch: Any) -> None:
    on = written(root, "later.yaml", [LATER])
    monkeypatch.setenv(FORBIDDEN, ",".join(one["trial_id"] for one in records(root)))
    code, output = command("evaluate", "runs/own", "--on", on, "--data-root", ".", cwd=root, path=SUPPORT)
    assert code == 0, output
    assert "; 4 will only be evaluated, with the weights that the run has kept" in output
    assert tables(root) == tables(with_later)


def test_metrics_that_an_earlier_version_lacked_are_added(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = records(root)
    text = (run_of(root) / "ledger.jsonl").read_text()
    (run_of(root) / "ledger.jsonl").write_text(re.sub(r',"(nll|brier|ece)":[^,}]+', "", text))
    assert records(root) != whole
    monkeypatch.setenv(FORBIDDEN, ",".join(one["trial_id"] for one in whole))
    code, output = evaluated(root)
    assert code == 0, output
    assert "4 finished trials no longer match: metrics or predictions are missing" in output
    again = {one["trial_id"]: one["evaluations"] for one in records(root)[len(whole) :]}
    assert again == {one["trial_id"]: one["evaluations"] for one in whole if one["stage"] == "repeat"}
    assert "nothing to do" in evaluated(root)[1]


def test_predictions_that_are_gone_come_back_by_an_evaluation_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted((run_of(root) / "predictions").iterdir())
    before = files[0].read_bytes()
    files[0].unlink()
    monkeypatch.setenv(FORBIDDEN, ",".join(one["trial_id"] for one in records(root)))
    code, output = evaluated(root)
    assert code == 0, output
    assert "1 finished trial no longer matches: metrics or predictions are missing" in output
    assert files[0].read_bytes() == before
    assert "nothing to do" in evaluated(root)[1]


def test_data_check_looks_at_evaluated_data_too(root: Path) -> None:
    space = written(root, "more.yaml", SPACE | {"evaluate": [LATER, "mnist"]})
    code, output = call("data", "check", space, "--root", ".", cwd=root)
    assert code == 2
    assert re.search(r"later:\nid_test +id_test +18 images\n", output)
    assert "mnist:\nmissing: " in output


def test_models_of_methods_that_a_space_leaves_out_stay(root: Path) -> None:
    before = kept(root)
    code, output = run_serially("space.yaml", "methods=[zeroshot]", cwd=root, data_root=root)
    assert code == 0, output
    assert kept(root) == before
    assert len(before) == REPEATS
