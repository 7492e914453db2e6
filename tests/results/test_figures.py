from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ledgers import frame_in
from matplotlib import image

import flyp_sweep.results as results
from flyp_sweep.results.analysis.frontiers import frontier_points, select_block, skip_reason
from flyp_sweep.results.figures import frontier, save_frontiers
from flyp_sweep.results.figures.style import COLOURS, OTHER_COLOURS

ZEROSHOT = {"id_val": 0.6, "id_test": 0.6, "photo": 0.5, "sketch": 0.4}


def grid_cell(example, method: str, alphas=(0.0, 0.5, 1.0), seeds: int = 2, **cell):
    """Repeats evaluated at every alpha: ID 0.6 + 0.3 alpha (+ seed/100), OOD 0.5 and 0.4 + 0.2 alpha."""
    trials = []
    for seed in range(seeds):
        evaluations = []
        for alpha in alphas:
            tuned = {"id_val": 0.9, "id_test": 0.6 + 0.3 * alpha + seed / 100}
            tuned |= {"photo": 0.5 + 0.2 * alpha, "sketch": 0.4 + 0.2 * alpha}
            evaluations += example.evaluations(alpha, tuned)
        chosen = alphas[1] if seed == 0 else alphas[-1]
        trials.append(example.trial(example.cell(method, **cell), seed, alpha=chosen, evaluations=evaluations))
    return [*trials, example.selection(trials)]


def points_of(records):
    return frontier_points(select_block(frame_in(records), "digits", "digits-clip", None))


def test_the_points_of_a_frontier(example):
    points = points_of([*example.zeroshot(ZEROSHOT), *grid_cell(example, "flyp"), *grid_cell(example, "ft")])
    assert [curve.method for curve in points.curves] == ["ft", "flyp"]
    curve = points.curves[0]
    assert list(curve.points.index) == [0.0, 0.5, 1.0]
    assert curve.points["id"].tolist() == pytest.approx([60.5, 75.5, 90.5])
    assert curve.points["ood"].tolist() == pytest.approx([45, 55, 65])
    assert curve.chosen == pytest.approx(((75 + 91) / 2, (55 + 65) / 2))  # seed 0 chose 0.5, seed 1 chose 1
    assert curve.finetuned == pytest.approx((90.5, 65))
    assert points.zeroshot == pytest.approx((60, 45))
    assert points.id_label == "ID test accuracy (%)"
    assert points.ood_label == "Mean OOD accuracy (%)"


def test_an_alpha_that_only_some_seeds_have_is_no_point_of_the_curve(example):
    *trials, selection = grid_cell(example, "ft")
    trials[0]["evaluations"] = [e for e in trials[0]["evaluations"] if e["alpha"] != 0.0]
    assert list(points_of([*trials, selection]).curves[0].points.index) == [0.5, 1.0]


def test_failed_unselected_and_search_trials_draw_nothing(example):
    *trials, selection = grid_cell(example, "ft", seeds=3)
    selection["repeats"] = selection["repeats"][:2]
    search = example.search(example.cell("ft"), "c1")
    search["evaluations"] += example.evaluations(1.0, {"id_test": 0, "photo": 0, "sketch": 0})
    assert points_of([*trials, selection, search]).curves[0].finetuned == pytest.approx((90.5, 65))


def test_a_single_ood_set_is_named(example):
    values = {"id_test": 0.9, "photo": 0.7}
    trial = example.repeat(example.cell("ft"), 0, values, values)
    assert points_of([trial, example.selection([trial])]).ood_label == "OOD photo accuracy (%)"


def test_a_figure_holds_curves_stars_dots_and_the_diamond(example):
    records = [*example.zeroshot(ZEROSHOT), *grid_cell(example, "ft"), *example.finished_cell("flyp", [0.9, 0.92])]
    figure = frontier(frame_in(records), "digits", "digits-clip")
    (axes,) = figure.axes
    lines = {(line.get_color(), line.get_marker(), line.get_linestyle()): line for line in axes.lines}
    curve = lines[COLOURS["ft"], "None", "-"]
    assert curve.get_xydata() == pytest.approx(np.array([[60.5, 45], [75.5, 55], [90.5, 65]]))
    assert lines[COLOURS["ft"], "*", "None"].get_xydata() == pytest.approx(np.array([[83, 60]]))
    end = lines[COLOURS["ft"], "s", "None"]
    assert end.get_xydata() == pytest.approx(np.array([[90.5, 65]]))
    star = lines[COLOURS["ft"], "*", "None"]
    assert star.get_markerfacecolor() == "none", "a star hides no mark below it"
    assert star.get_zorder() > end.get_zorder()
    assert lines[COLOURS["ft"], "o", "None"].get_xydata() == pytest.approx(curve.get_xydata()), "a dot at each alpha"
    assert lines["black", "D", "None"].get_xydata() == pytest.approx(np.array([[60, 45]]))
    dotted = lines[COLOURS["flyp"], "None", ":"]  # alpha 1 and the chosen alpha alone: no curve to draw
    assert dotted.get_xydata() == pytest.approx(np.array([[60, 45], [93, 68], [91, 66]]))
    assert [text.get_text() for text in axes.texts] == ["zero-shot"]
    assert [text.get_text() for text in figure.legends[0].texts][:2] == ["FT", "FLYP"]
    assert figure.get_size_inches()[0] == pytest.approx(3.25)


def test_methods_are_told_apart_with_and_without_colours(example):
    alone = frontier(frame_in(grid_cell(example, "flyp")), "digits", "digits-clip")
    assert alone.axes[0].lines[0].get_color() == COLOURS["flyp"], "a method's colour is fixed"
    methods = [*COLOURS, *OTHER_COLOURS]
    assert len({*COLOURS.values(), *OTHER_COLOURS.values()}) == len(methods)
    figure = frontier(
        frame_in([record for method in methods for record in grid_cell(example, method)]), "digits", "digits-clip"
    )
    ends = [
        line.get_marker()
        for line in figure.axes[0].lines
        if line.get_marker() not in ("None", "*") and line.get_markersize() > 3
    ]
    assert len(set(ends)) == len(methods)
    handles = figure.legends[0].legend_handles[: len(methods)]
    assert [handle.get_marker() for handle in handles] == ends
    assert "D" not in ends  # the zero-shot model


def test_no_text_overlaps_another_nor_leaves_the_figure(example):
    methods = [*COLOURS, *OTHER_COLOURS, "my_own"]
    records = [*example.zeroshot(ZEROSHOT), *(r for method in methods for r in grid_cell(example, method))]
    figure = frontier(frame_in(records), "digits", "digits-clip")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    texts = [*figure.legends[0].texts, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
    boxes = [text.get_window_extent() for text in texts]
    page = figure.bbox
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1 for box in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_without_an_ood_split_the_figure_is_skipped_with_the_reason(tmp_path, example):
    values = {"id_val": 0.9, "id_test": 0.9}
    trial = example.repeat(example.cell("ft", dataset="cars"), 0, values, values)
    running = example.search(example.cell("ft", dataset="sst2"), "c0")
    frame = frame_in([trial, example.selection([trial]), running, *grid_cell(example, "ft", shots=4)])
    assert frontier(frame, "cars", "digits-clip") is None
    saved = save_frontiers(frame, tmp_path)
    assert saved.skipped == {
        "cars, digits-clip": "a frontier needs an OOD set, and there is none",
        "sst2, digits-clip": "no repeat has finished yet",
    }
    assert [path.name for path in saved.paths] == [
        f"frontier-digits-digits-clip-4-shot.{end}" for end in ("png", "svg", "pdf")
    ]


def test_a_zero_shot_model_alone_is_a_figure(example):
    frame = frame_in(example.zeroshot(ZEROSHOT))
    assert skip_reason(select_block(frame, "digits", "digits-clip", None)) == ""
    assert len(frontier(frame, "digits", "digits-clip").axes[0].lines) == 1


def test_files_are_of_the_stated_size_and_the_same_bytes_each_time(tmp_path, example):
    frame = frame_in([*example.zeroshot(ZEROSHOT), *grid_cell(example, "ft")])
    first = save_frontiers(frame, tmp_path / "a" / "figures")
    second = save_frontiers(frame, tmp_path / "b")
    assert [path.read_bytes() for path in first.paths] == [path.read_bytes() for path in second.paths]
    png, svg, pdf = first.paths
    assert image.imread(png).shape[:2] == (930, 975)
    assert b"<text" not in svg.read_bytes(), "letters are outlines: no font is needed"
    assert pdf.read_bytes().startswith(b"%PDF")


def test_drawing_leaves_no_global_state():
    script = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy(); from flyp_sweep.results.figures import id_ood\n"
        "from flyp_sweep.results.analysis.frontiers import Frontier\n"
        "id_ood.draw(Frontier('d', 'm', 4, (), (60.0, 50.0), 'x', 'y'))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert matplotlib.rcParams.copy() == before\n"
    )
    root = Path(results.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_seed_that_lacks_an_ood_set_is_left_out(example):
    *trials, selection = grid_cell(example, "ft")
    trials[0] = example.without(trials[0], "sketch")
    assert points_of([*trials, selection]).curves[0].finetuned == pytest.approx((91, 65))
