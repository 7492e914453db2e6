"""Accuracy by shots, the scores of the search, and the bands of the frontier."""

from __future__ import annotations

import numpy as np
import pytest
from ledgers import evidence_in, frame_in, searches_in
from matplotlib.colors import to_rgba

from flyp_sweep.results.analysis.frontiers import frontier_points, select_block
from flyp_sweep.results.analysis.searches import CellSearch, ScoredConfig
from flyp_sweep.results.analysis.shots import shots_curves
from flyp_sweep.results.figures.by_shots import draw_shots
from flyp_sweep.results.figures.id_ood import band, draw
from flyp_sweep.results.figures.landscape import draw_sensitivity, facets_of
from flyp_sweep.results.figures.style import colours_of, save_all
from flyp_sweep.results.statistics.intervals import mean_interval
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.distributions import parse


def few_shot_run(example, **cell):
    values = {"id_val": 0.6, "id_test": 0.6, "photo": 0.5, "sketch": 0.4}
    return [
        record
        for shots in (4, 16)
        for record in (
            *example.zeroshot(values, shots=shots, **cell),
            *example.finished_cell("ft", [0.7 + shots / 100, 0.72 + shots / 100], shots=shots, **cell),
            *example.finished_cell("flyp", [0.75 + shots / 100, 0.8 + shots / 100], shots=shots, **cell),
        )
    ]


def test_the_lines_of_accuracy_by_shots(example):
    (curves,) = shots_curves([evidence_in(few_shot_run(example))])
    assert [panel.label for panel in curves.panels] == ["ID test accuracy (%)", "Mean OOD accuracy (%)"]
    lines = {line.method: line for line in curves.panels[0].lines}
    assert lines["ft"].intervals == {4: mean_interval([0.74, 0.76]), 16: mean_interval([0.86, 0.88])}
    assert lines["zeroshot"].is_constant
    ood = {line.method: line for line in curves.panels[1].lines}
    assert ood["ft"].intervals[4].mean == pytest.approx(0.75 - 0.25)


def test_runs_of_one_number_of_shots_or_of_none_have_no_such_figure(example):
    assert shots_curves([evidence_in(example.finished_cell("ft", [0.9, 0.91], shots=4))]) == []
    assert draw_shots([evidence_in(example.run())]).figures == {}


def test_without_ood_sets_there_is_one_panel(example):
    records = [record for shots in (1, 2) for record in example.task("ft", [0.8, 0.82], "pcam", shots=shots)]
    ((stem, figure),) = draw_shots([evidence_in(records)]).figures.items()
    assert stem == "shots-pcam-vit"
    assert len(figure.axes) == 1


def test_the_zero_shot_model_is_a_horizontal_line_and_bars_are_intervals(example):
    ((_, figure),) = draw_shots([evidence_in(few_shot_run(example))]).figures.items()
    axes = figure.axes[0]
    flat = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_ydata()[0] for line in flat] == pytest.approx([60])
    segments = axes.containers[0].lines[2][0].get_segments()
    expected = mean_interval([0.74, 0.76])
    assert segments[0][:, 1] == pytest.approx([100 * expected.low, 100 * expected.high])


def curve_of(example, seeds=(0.0, 0.01, 0.03)):
    trials = []
    for seed, shift in enumerate(seeds):
        evaluations = []
        for alpha in (0.0, 0.5, 1.0):
            values = {"id_test": 0.6 + 0.3 * alpha + shift, "photo": 0.5 + 0.2 * alpha - 2 * shift}
            evaluations += example.evaluations(alpha, values)
        trials.append(example.trial(example.cell("ft"), seed, alpha=0.5, evaluations=evaluations))
    block = select_block(frame_in([*trials, example.selection(trials)]), "digits", "digits-clip", None)
    return frontier_points(block)


def test_the_band_is_as_wide_and_high_at_each_alpha_as_the_intervals_there(example):
    points = curve_of(example)
    curve = points.curves[0]
    expected = mean_interval([0.0, 1.0, 3.0])
    assert curve.reach["id"].tolist() == pytest.approx([expected.half_width] * 3)
    assert curve.reach["ood"].tolist() == pytest.approx([2 * expected.half_width] * 3)
    corners = np.asarray(band(curve).vertices)
    first, last = curve.points.iloc[0], curve.points.iloc[-1]
    low, high = corners.min(axis=0), corners.max(axis=0)
    assert low == pytest.approx([first["id"] - expected.half_width, first["ood"] - 2 * expected.half_width], abs=0.02)
    assert high == pytest.approx([last["id"] + expected.half_width, last["ood"] + 2 * expected.half_width], abs=0.02)
    assert len(draw(points).axes[0].patches) + len(draw(points).axes[0].artists) >= 1


def test_all_parts_of_a_band_turn_the_same_way(example):
    """Else a nonzero winding rule would leave holes where they overlap."""
    outline = band(curve_of(example).curves[0])
    for part in outline.to_polygons(closed_only=False):
        x, y = part.T
        assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0


def test_seeds_that_agree_and_single_seeds_can_be_drawn(example):
    agreeing = curve_of(example, seeds=(0.0, 0.0))
    assert agreeing.curves[0].reach.to_numpy().max() == 0
    draw(agreeing)
    single = curve_of(example, seeds=(0.0,))
    assert not single.curves[0].has_reach
    assert "95% interval" not in [text.get_text() for text in draw(single).legends[0].texts]


def grid_search(**ranges: object) -> CellSearch:
    distributions = {name: parse(raw) for name, raw in ranges.items()}
    tried = tuple(
        ScoredConfig(f"{lr}-{decay}", {"lr": lr, "weight_decay": decay}, (0.5 + lr + decay,))
        for lr in (0.001, 0.01, 0.1)
        for decay in (0.0, 0.1)
    )
    return CellSearch(Cell("digits", "clip", None, "ft"), "FT", tried, distributions, "0.1-0.1", "accuracy")


def test_a_grid_is_a_heat_map_with_the_winner_framed():
    search = grid_search(lr={"choice": [0.001, 0.01, 0.1]}, weight_decay={"choice": [0.0, 0.1]})
    ((stem, figure),) = draw_sensitivity([search]).figures.items()
    assert stem == "sensitivity-digits-clip-full"
    axes = figure.axes[0]
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(np.array([[50.1, 51, 60], [60.1, 61, 70]]))
    assert axes.patches[0].get_xy() == (1.5, 0.5)
    assert axes.patches[0].get_edgecolor() == to_rgba("black")
    assert [text.get_text() for text in axes.texts] == ["50.1", "51.0", "60.0", "60.1", "61.0", "70.0"]


def test_a_sampled_search_is_a_scatter_on_a_log_axis_from_end_to_end():
    search = grid_search(lr={"loguniform": [1e-4, 1.0]}, weight_decay={"choice": [0.0, 0.1]})
    ((_, figure),) = draw_sensitivity([search]).figures.items()
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] < 1e-4
    assert axes.get_xlim()[1] > 1.0
    assert len(axes.collections[0].get_offsets()) == 6


@pytest.mark.parametrize(
    ("ranges", "beyond", "scale"),
    [
        ({"lr": {"loguniform": [0.005, 0.05]}}, 0.1, "log"),
        ({"lr": {"uniform": [0.005, 0.05]}}, 0.1, "linear"),
        ({"lr": {"loguniform": [0.005, 0.05]}}, 0.0, "linear"),
        ({"lr": {"uniform": [0.005, 0.05]}}, "none", "linear"),
    ],
)
def test_values_that_were_given_beyond_a_range_are_drawn(ranges, beyond, scale):
    tried = tuple(ScoredConfig(str(lr), {"lr": lr}, (0.5,)) for lr in (0.01, 0.02, beyond))
    cell = Cell("digits", "clip", None, "ft")
    search = CellSearch(cell, "FT", tried, {name: parse(raw) for name, raw in ranges.items()}, str(beyond))
    ((_, figure),) = draw_sensitivity([search]).figures.items()
    axes = figure.axes[0]
    assert axes.get_xscale() == scale
    shown = beyond if isinstance(beyond, float) else axes.get_xticks()[-1]
    assert axes.get_xlim()[0] < shown < axes.get_xlim()[1]
    if isinstance(beyond, float):
        ends = {line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"}
        assert ends == {0.005, 0.05}, "the ends of what was searched"
    else:
        assert axes.get_xticklabels()[-1].get_text() == beyond


def test_a_single_hyper_parameter_is_a_line_and_a_third_one_has_a_panel_of_its_own():
    tried = tuple(ScoredConfig(str(at), {"l2": 10.0**-at}, (0.5, 0.5 + at / 10)) for at in range(3))
    search = CellSearch(
        Cell("digits", "clip", None, "lp"), "LP", tried, {"l2": parse({"choice": [1.0, 0.1, 0.01]})}, "2"
    )
    ((_, figure),) = draw_sensitivity([search]).figures.items()
    assert any(line.get_linestyle() == "-" and len(line.get_xdata()) == 3 for line in figure.axes[0].lines)
    three = tuple(
        ScoredConfig(str(at), {"lr": 0.1**at, "weight_decay": 0.1 * at, "l2sp_strength": 0.5**at}, (0.5,))
        for at in range(4)
    )
    names = ("lr", "weight_decay", "l2sp_strength")
    ranges = {name: parse({"uniform": [0.0, 1.0]}) for name in names}
    facets = facets_of(CellSearch(Cell("digits", "clip", None, "l2sp"), "L2-SP", three, ranges, "0"))
    assert [(facet.x.name, facet.y.name if facet.y else None) for facet in facets] == [
        ("lr", "weight_decay"),
        ("l2sp_strength", None),
    ]


def test_failed_configurations_values_of_any_kind_and_searches_without_scores_can_be_drawn(tmp_path):
    cell = Cell("digits", "clip", 4, "my_own")
    tried = (
        ScoredConfig("a", {"lr": 0.1, "norm": "layer"}, (0.5,)),
        ScoredConfig("b", {"lr": 0.2, "norm": "batch"}, (), failed=1),
        ScoredConfig("c", {"lr": 0.3, "norm": 3}, (0.7,)),
    )
    ranges = {"lr": parse({"uniform": [0.0, 1.0]}), "norm": parse({"choice": ["layer", "batch", 3]})}
    drawn = draw_sensitivity([CellSearch(cell, "my own", tried, ranges, "c", "accuracy")])
    assert [path.suffix for path in save_all([drawn], tmp_path).paths] == [".png", ".svg", ".pdf"]
    lost = draw_sensitivity([CellSearch(cell, "my own", tried[1:2], ranges)])
    assert lost.figures == {}
    assert lost.skipped.keys() == {"digits, clip, 4-shot, sensitivity"}


def test_the_same_ledger_gives_the_same_bytes(tmp_path, example):
    records = few_shot_run(example)
    searches = searches_in(example.large_run(20))[:2]
    twice = [
        save_all([draw_shots([evidence_in(records)]), draw_sensitivity(searches)], tmp_path / name).paths
        for name in ("a", "b")
    ]
    assert [path.read_bytes() for path in twice[0]] == [path.read_bytes() for path in twice[1]]
    assert len(twice[0]) == 6


def test_ensembles_have_shades_of_their_methods_colour_also_where_that_is_not_known():
    ensembles = ("uniform_soup", "greedy_soup", "greedy_soup_strict", "logit_ensemble", "my_module:Mine", "other")
    names = ["flyp", *(f"flyp+{one}" for one in ensembles), "mine+greedy_soup", "mine"]
    colours = colours_of(names)
    assert len(set(colours.values())) == len(names)
    assert colours["flyp"] == colours_of(["flyp+greedy_soup", "flyp"])["flyp"]
    assert all(len(colour) == 7 for colour in colours.values())
