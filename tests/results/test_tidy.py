from __future__ import annotations

import random

import pandas as pd
import pytest
from ledgers import frame_in

from flyp_sweep.results.ledger.tidy import read_parquet, write_parquet
from flyp_sweep.search_spaces.errors import InputError


def test_one_row_per_trial_alpha_split_and_metric(example):
    trials = example.finished_cell("ft", [0.9, 0.92])
    frame = frame_in(trials)
    assert len(frame) == 2 * 2 * 4 * 3
    assert not frame.duplicated(["trial_id", "alpha", "split", "metric"]).any()
    assert list(frame.columns) == [
        "trial_id", "dataset", "model", "shots", "method", "method_label", "stage", "seed", "config_id",
        "hparam_lr", "hparam_weight_decay",
        "alpha", "split", "role", "metric", "value", "n_examples", "primary", "chosen", "selected", "status",
    ]  # fmt: skip
    row = frame.query("seed == 1 and alpha == 0.6 and split == 'photo' and metric == 'accuracy'").iloc[0]
    assert row["value"] == pytest.approx(0.92 - 0.2 + 0.02)
    assert (row["role"], row["primary"], row["chosen"], row["selected"]) == ("ood", True, True, True)


def test_the_order_of_the_lines_does_not_matter(example):
    records = example.run() + example.finished_cell("lp", [0.7, 0.8], shots=4)
    expected = frame_in(records)
    for seed in range(5):
        shuffled = random.Random(seed).sample(records, len(records))
        pd.testing.assert_frame_equal(frame_in(shuffled), expected)


def test_rows_are_ordered_by_cell_stage_configuration_seed_alpha_split_and_metric(example):
    frame = frame_in([*example.finished_cell("ft", [0.9, 0.8], shots=16), *example.run()])
    assert list(frame["shots"].drop_duplicates().fillna(-1)) == [16, -1]
    assert frame["shots"].dtype == "Int64"
    full = frame[frame["shots"].isna()]
    assert list(full["method"].drop_duplicates()) == ["zeroshot", "ft", "flyp"]
    assert list(full.query("method == 'ft'")["stage"].drop_duplicates()) == ["search", "repeat"]
    repeat = full.query("method == 'ft' and stage == 'repeat' and seed == 2")
    assert list(repeat["alpha"].drop_duplicates()) == [0.6, 1.0]
    assert list(repeat["split"].drop_duplicates()) == ["id_val", "id_test", "photo", "sketch"]
    assert list(repeat["metric"].head(3)) == ["accuracy", "macro_f1", "mean_per_class_accuracy"]


def test_chosen_marks_the_trials_own_alpha_and_the_zero_shot_model(example):
    frame = frame_in(example.run())
    repeats = frame[frame["stage"].eq("repeat") & frame["method"].ne("zeroshot")]
    assert (repeats["chosen"] == repeats["alpha"].eq(0.6)).all()
    assert not frame.loc[frame["stage"].eq("search"), "chosen"].any()
    zeroshot = frame[frame["method"].eq("zeroshot")]
    assert zeroshot["chosen"].all()
    assert zeroshot["alpha"].eq(0.0).all()  # null in the ledger


def test_an_alpha_that_was_computed_is_still_found(example):
    cell = example.cell("ft")
    trial = example.trial(cell, 0, alpha=0.3, evaluations=example.evaluations(0.1 + 0.2, {"id_val": 0.9}))
    assert frame_in([trial])["chosen"].all()


def test_selected_follows_the_last_selection(example):
    records = example.finished_cell("ft", [0.9, 0.92, 0.94])
    trials = records[:-1]
    frame = frame_in([*records, example.selection(trials[:2])])
    assert set(frame.loc[frame["selected"], "seed"]) == {0, 1}


def test_hyper_parameters_keep_their_kind_and_are_missing_where_there_are_none(example):
    records = [
        example.trial(example.cell("ft"), 0, evaluations=example.evaluations(1.0, {"id_val": 0.9}), hparams=hparams)
        | {"trial_id": name}
        for name, hparams in (
            ("a", {"lr": 1, "k": 1, "flag": True, "name": "x", "mixed": 1, "nothing": None}),
            ("b", {"lr": 0.5, "k": 2, "flag": False, "name": "y", "mixed": "one", "nothing": None}),
            ("c", {}),
        )
    ]
    frame = frame_in(records)
    dtypes = frame.dtypes.astype(str)
    kinds = {"lr": "Float64", "k": "Int64", "flag": "boolean", "name": "string", "mixed": "string"}
    assert {name: dtypes[f"hparam_{name}"] for name in kinds} == kinds
    assert set(frame["hparam_mixed"].dropna()) == {"1", '"one"'}
    assert frame.loc[frame["trial_id"].eq("c"), "hparam_lr"].isna().all()
    assert frame["hparam_nothing"].isna().all()


@pytest.mark.parametrize("empty", [False, True])
def test_parquet_gives_the_frame_back(tmp_path, example, empty):
    frame = frame_in([] if empty else example.run() + example.finished_cell("lp", [0.5, 0.6], shots=4))
    assert frame.empty == empty
    write_parquet(frame, tmp_path / "results.parquet")
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "results.parquet"), frame)
    assert [path.name for path in tmp_path.iterdir()] == ["results.parquet"]


def test_absent_results_are_refused(tmp_path):
    with pytest.raises(InputError, match="found no file"):
        read_parquet(tmp_path / "results.parquet")
