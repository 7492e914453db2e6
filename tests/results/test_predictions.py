"""The per-example outputs of a run, read."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledgers import Example
from outputs import write_outputs_of

from flyp_sweep.results import RunFolder
from flyp_sweep.results.ledger.predictions import METADATA
from flyp_sweep.search_spaces.errors import InputError

EXAMPLES = 12


@pytest.fixture
def run(tmp_path: Path, example: Example) -> RunFolder:
    """A zero-shot model, and two methods of three seeds each, on ID test and two OOD sets."""
    example.write(tmp_path, example.run())
    write_outputs_of(tmp_path, example.run(), EXAMPLES)
    return RunFolder(tmp_path)


def test_an_image_without_a_group_has_no_group_s_name(run):
    for path in run.prediction_files.iterdir():
        table = pq.read_table(path)
        facts = json.loads(table.schema.metadata[METADATA]) | {"groups": {"photo": ["day", "night"]}}
        groups = pa.array([0, 1, None, None] * (len(table) // 4), pa.int32())
        table = table.set_column(table.schema.get_field_index("group"), "group", groups)
        pq.write_table(table.replace_schema_metadata({METADATA: json.dumps(facts)}), path)
    frame = run.predictions(split="photo", columns=["group", "group_name"])
    told = {"none" if pd.isna(name) else name for name in frame.loc[frame["group"].isna(), "group_name"]}
    assert told == {"none"}
    assert set(frame.loc[frame["group"].eq(1), "group_name"]) == {"night"}


def test_the_frame_holds_every_repeat_with_its_cell(run):
    frame = run.predictions()
    assert list(frame.columns) == [
        *("dataset", "model", "shots", "method", "seed", "trial_id", "split", "alpha", "row", "example", "label"),
        *("predicted", "confidence", "p_label", "group", "chosen", "label_name", "predicted_name"),
        "group_name",
    ]
    assert len(frame) == 3 * EXAMPLES * (1 + 2 * 3 + 2 * 3)
    sizes = frame.groupby(["method", "seed"], observed=True).size()
    assert list(dict.fromkeys(frame["method"])) == ["zeroshot", "ft", "flyp"]
    assert sizes.loc["flyp"].tolist() == [2 * 3 * EXAMPLES] * 3
    assert frame["shots"].isna().all()
    assert [str(frame[name].dtype) for name in ("shots", "group", "method", "seed")] == [
        *("Int64", "Int64", "category", "int64")
    ]
    assert sorted(frame.loc[frame["chosen"], "alpha"].unique()) == [0.0, 0.6]
    assert frame["confidence"].ge(frame["p_label"] - 1e-6).all()


@pytest.mark.parametrize(
    ("asked", "rows", "alphas"),
    [
        ({"method": "flyp"}, 3 * 3 * 2, {0.6, 1.0}),
        ({"method": "flyp", "seed": 2, "split": "photo"}, 2, {0.6, 1.0}),
        ({"side": "without", "split": "id_test"}, 7, {0.0, 1.0}),
        ({"side": "with", "dataset": "digits", "model": "digits-clip", "shots": "full"}, 7 * 3, {0.0, 0.6}),
    ],
)
def test_filters_and_columns_choose_what_is_read(run, asked, rows, alphas):
    whole, frame = run.predictions(), run.predictions(**asked)
    assert len(frame) == rows * EXAMPLES
    assert set(frame["alpha"]) == alphas
    same = whole.merge(frame[["trial_id", "split", "alpha", "row"]], on=["trial_id", "split", "alpha", "row"])
    pd.testing.assert_frame_equal(same, frame.reset_index(drop=True), check_categorical=False, check_dtype=False)
    narrow = run.predictions(**asked, columns=["chosen", "label"])
    assert list(narrow.columns) == ["chosen", "label"]
    assert narrow["label"].tolist() == frame["label"].tolist()


def test_labels_have_names_those_of_a_split_with_labels_of_its_own_too(tmp_path, example):
    records = example.finished_cell("ft", [0.8])
    example.write(tmp_path, records)
    write_outputs_of(tmp_path, records, labels={"sketch": ["pet", "bird", "none"]})
    frame = RunFolder(tmp_path).predictions(columns=["split", "label", "label_name", "predicted_name"])
    names = frame.groupby(["split", "label"], observed=True)["label_name"].unique().map(list)
    assert names.loc["photo"].tolist() == [["cat"], ["dog"], ["emu"]]
    assert names.loc["sketch"].tolist() == [["pet"], ["bird"], ["none"]]
    assert set(frame["predicted_name"]) == {"cat", "dog", "emu", "pet", "bird", "none"}


def test_only_what_the_last_selection_planned_counts(tmp_path, example):
    cell = example.cell("ft")
    old = [example.repeat(cell, 0, {"id_test": 0.8}, {"id_test": 0.8}, config_id="old")]
    splits = {"id_test": "of id_test", "photo": "of photo"}
    values = {"id_test": 0.9, "photo": 0.7}
    new = [example.repeat(cell, seed, values, values, settings={"splits": splits}) for seed in (0, 1)]
    evaluated = {"id_test": "of id_test", "photo": "of other photos"}
    records = [*old, example.selection(old), *new, example.selection(new, data="d", evaluated=evaluated)]
    example.write(tmp_path, records)
    write_outputs_of(tmp_path, records)
    frame = RunFolder(tmp_path).predictions()
    assert set(frame["trial_id"]) == {trial["trial_id"] for trial in new}
    assert set(frame["split"]) == {"id_test"}


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"method": "flpy"}, r"found method 'flpy' \(did you mean 'flyp'\?\), expected one of zeroshot, ft, flyp"),
        ({"seed": 7, "method": "ft"}, "found seed 7, expected one of 0, 1, 2"),
        ({"shots": 4}, "found shots 4, expected one of full"),
        ({"split": "fotos"}, "found split 'fotos'.*, expected one of id_test, photo, sketch"),
        ({"side": "both"}, "found side 'both', expected one of without, with"),
        ({"columns": ["labels"]}, r"found column 'labels' \(did you mean 'label'\?\)"),
    ],
)
def test_a_name_that_the_run_lacks_is_one_line(run, asked, complaint):
    with pytest.raises(InputError, match=complaint):
        run.predictions(**asked)


def test_missing_and_broken_files_are_one_line(run):
    path = next(run.prediction_files.iterdir())
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match=rf"{path.name}: cannot be read .*, expected .*; delete the file"):
        run.predictions()
    path.unlink()
    with pytest.raises(InputError, match=r"1 of 7 repeats have none.*flyp-sweep evaluate RUN` makes them"):
        run.predictions()
