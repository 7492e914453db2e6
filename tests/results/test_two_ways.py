"""`--interval seeds+examples`: a bootstrap over the seeds of a training and the images of a test set."""

from __future__ import annotations

import numpy as np
import pytest
from ledgers import evidence_in
from outputs import write_outputs_of

from flyp_sweep.results import RunFolder, TableOptions, make_table, read_evidence
from flyp_sweep.results.statistics.two_ways import two_way_interval
from flyp_sweep.search_spaces.errors import InputError

BOTH = TableOptions(interval="seeds+examples")


@pytest.mark.parametrize(("seeds", "images", "splits"), [(1, 200, 1), (4, 50, 1), (6, 120, 3)])
def test_the_interval_is_that_of_seeds_and_images_drawn_one_by_one(seeds, images, splits):
    stream = np.random.default_rng(seeds)
    skill = stream.normal(scale=0.1, size=(seeds, 1))
    parts = [(stream.random((seeds, images)) < 0.7 + skill).astype(float) for _ in range(splits)]
    means = []
    for _ in range(4000):
        rows = stream.integers(seeds, size=seeds)
        drawn = [part[rows][:, stream.integers(images, size=images)].mean() for part in parts]
        means.append(np.mean(drawn))
    found = two_way_interval(parts)
    assert found.mean == pytest.approx(np.mean(parts))
    low, high = np.quantile(means, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.1 * (high - low))
    assert found.high == pytest.approx(high, abs=0.1 * (high - low))
    assert two_way_interval(parts) == found


def test_values_that_differ_from_image_to_image_are_drawn_as_they_are():
    values = np.random.default_rng(0).normal(size=(1, 400))
    found = two_way_interval([values])
    assert found.half_width == pytest.approx(1.96 * values.std() / 20, rel=0.05)


@pytest.mark.parametrize("metric", [None, "nll"])
def test_a_table_says_that_its_intervals_are_of_both(tmp_path, example, metric):
    records = example.run()
    write_outputs_of(tmp_path, records)
    frame_path = example.write(tmp_path, records)
    if metric:
        for record in records:
            for at in record.get("evaluations", []):
                for split in at["splits"]:
                    split["metrics"]["nll"] = 1.0
        assert example.write(tmp_path, records) == frame_path
    run = RunFolder(tmp_path)
    (grid,) = make_table([read_evidence(run, metric=metric)], "per_shift", BOTH).grids
    entry = example.entry(grid, "flyp", "with ensembling", "mean OOD")
    frame = run.predictions(method="flyp", side="with")
    values = frame["label"] == frame["predicted"] if metric is None else -np.log(frame["p_label"])
    expected = values[frame["split"].isin(["photo", "sketch"])].mean()
    assert entry.interval.low < expected < entry.interval.high
    assert entry.printed == f"{entry.printed.partition(' ')[0]} [{entry.printed.partition('[')[2]}"
    alone = example.entry(grid, "zeroshot", "with ensembling", "ID").interval
    assert alone.low < alone.high
    assert "mean over 3 seeds with its 95% bootstrap interval over seeds and images" in grid.caption
    assert "run once, with an interval over images" in grid.caption


def test_what_has_no_values_of_single_images_is_one_line(tmp_path, example):
    example.write(tmp_path, example.run())
    run = RunFolder(tmp_path)
    with pytest.raises(
        InputError, match=r"expected the predictions of every repeat: `flyp-sweep evaluate RUN` makes them"
    ):
        make_table([read_evidence(run)], "per_shift", BOTH)
    write_outputs_of(tmp_path, example.run())
    write_outputs_of(tmp_path, example.run()[-2:], examples=30)
    with pytest.raises(InputError, match="found repeats that lack predictions on id_test"):
        make_table([read_evidence(run)], "per_shift", BOTH)
    with pytest.raises(InputError, match="found macro_f1, expected a mean over images, accuracy or nll"):
        make_table([read_evidence(run, metric="macro_f1")], "per_shift", BOTH)
    with pytest.raises(InputError, match="found a ledger in memory of run, expected a run folder"):
        make_table([evidence_in(example.run())], "per_shift", BOTH)
