"""Training curves, bars by OOD set, accuracy by class, dark pages and the look of papers."""

from __future__ import annotations

import numpy as np
import pytest
from browser import needs_browser, opened
from ledgers import evidence_in, typed
from matplotlib.text import Text

from flyp_sweep.results.analysis.best_repeats import BestRepeat, Predicted, PredictedBlock, SplitOutputs
from flyp_sweep.results.analysis.by_split import split_bars
from flyp_sweep.results.analysis.cells import cell_results
from flyp_sweep.results.analysis.protocol_blocks import blocks_of
from flyp_sweep.results.analysis.training_curves import BlockCurves, CurveReader, curves_of
from flyp_sweep.results.figures.by_split import draw_splits
from flyp_sweep.results.figures.classes import draw_classes
from flyp_sweep.results.figures.modes import for_both_modes
from flyp_sweep.results.figures.style import COLOURS, file_of, for_paper
from flyp_sweep.results.figures.training import draw_training
from flyp_sweep.results.statistics.intervals import mean_interval


def blocks_in(records: list) -> list:
    return blocks_of(cell_results(evidence_in(records)))


def curves_in(records: list) -> list[BlockCurves]:
    reader = CurveReader()
    for record in typed(records):
        reader.take(record)
    return curves_of(blocks_in(records), reader.curves)


def trained(example, method: str, scores: list[list[float]]) -> list:
    """Repeats with these scores by epoch; losses are 1 - score."""
    *trials, selection = example.finished_cell(method, [0.9] * len(scores))
    for trial, own in zip(trials, scores, strict=True):
        trial["curve"] = [{"epoch": at, "accuracy": score, "loss": 1 - score} for at, score in enumerate(own)]
        trial["best_epoch"] = int(np.argmax(own))
    return [*trials, selection]


def test_training_curves_are_those_of_the_repeats_that_count(example):
    records = [*trained(example, "ft", [[0.5, 0.7, 0.8], [0.5, 0.9]]), *trained(example, "lp", [[0.9], [0.9]])]
    searched = example.search(example.cell("ft"), "c9") | {"curve": records[0]["curve"]}
    (block,) = curves_in([searched, *records])
    (method,) = block.methods
    assert (block.metric, method.label) == ("accuracy", "FT")
    assert [seed.scores for seed in method.seeds] == [(0.5, 0.7, 0.8), (0.5, 0.9)]
    assert [seed.best for seed in method.seeds] == [2, 1]
    assert curves_in(example.run()) == []


def test_the_mean_of_the_seeds_ends_with_the_shortest_and_marks_stand_at_the_epochs_kept(example):
    ((stem, figure),) = draw_training(curves_in(trained(example, "ft", [[0.5, 0.7, 0.8], [0.5, 0.9]]))).figures.items()
    assert stem == "training-digits-digits-clip-full"
    score, loss = figure.axes
    mean = max(score.lines, key=lambda line: line.get_linewidth() if line.get_linestyle() == "-" else 0)
    assert mean.get_xydata() == pytest.approx(np.array([[0, 50], [1, 80]]))
    marks = [line.get_xydata()[0].tolist() for line in score.lines if line.get_marker() != "None"]
    assert marks == [pytest.approx([2, 80]), pytest.approx([1, 90])]
    assert max(loss.lines, key=lambda line: line.get_linewidth()).get_ydata()[0] == pytest.approx(0.5)
    assert draw_training([]).skipped == {"training curves": "no repeat with several epochs has finished yet"}


def test_bars_by_ood_set_are_means_with_intervals_without_and_with_ensembling(example):
    (found,) = split_bars(blocks_in(example.run()))
    assert found.splits == ("id_test", "photo", "sketch")
    without = {bars.method: bars.intervals for bars in found.sides["without"]}
    assert without["ft"]["photo"] == mean_interval([0.90 - 0.2, 0.92 - 0.2, 0.94 - 0.2])
    assert found.sides["with"][1].intervals["photo"].mean == pytest.approx(0.74)
    ((stem, figure),) = draw_splits([found]).figures.items()
    assert stem == "ood-digits-digits-clip-full"
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["without ensembling", "with ensembling"]
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == pytest.approx([61, 50, 40, 92, 72, 62, 95, 75, 65])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["ID test", "photo", "sketch"]


def test_data_sets_without_ood_sets_have_bars_of_id_test_alone(example):
    (found,) = split_bars(blocks_in(example.task("ft", [0.8, 0.9], "pcam")))
    assert found.splits == ("id_test",)
    assert list(draw_splits([found]).figures) == ["ood-pcam-vit-full"]
    assert split_bars(blocks_in([example.search(example.cell("ft"), "c0")])) == []


def test_bars_have_the_names_that_a_user_gave_to_splits(example):
    found = split_bars(blocks_in(example.run()))
    ((_, figure),) = draw_splits(found, {"photo": "Photos & $", "id_test": "Test"}).figures.items()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["Test", r"Photos & \$", "sketch"]


def predicted_block(classes: int) -> Predicted:
    """FT has the last class wrong, and every other one right."""
    labels = np.repeat(np.arange(classes), 2)
    wrong = np.where(labels == classes - 1, 0, labels)
    outputs = SplitOutputs(labels, wrong, np.full(len(labels), 0.9), np.full(len(labels), 0.5))
    names = tuple(f"class {at}" for at in range(classes))
    best = BestRepeat("ft", "FT", "t", 0, 1.0, names, "id_test", {"id_test": outputs})
    return Predicted((PredictedBlock("digits", "clip", None, (best,)),))


def test_accuracy_by_class_has_the_hardest_on_top_and_20_at_most():
    ((stem, figure),) = draw_classes(predicted_block(30)).figures.items()
    assert stem == "classes-digits-clip-full"
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) == 20
    assert labels[0] == "class 29"
    assert axes.lines[0].get_xdata().tolist() == [0.0] + [100.0] * 19
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first row is on top"


def test_a_figure_for_a_paper_has_no_title_and_no_text_below_8_points(example):
    figure = next(iter(draw_splits(split_bars(blocks_in(example.run()))).figures.values()))

    def texts() -> dict[str, float]:
        found = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()[:1].isalpha()]
        return {text.get_text(): text.get_fontsize() for text in found}

    before = texts()
    assert "digits, digits-clip" in before
    assert min(before.values()) < 8
    for_paper(figure)
    assert before.keys() - texts().keys() == {"digits, digits-clip"}
    assert min(texts().values()) >= 8
    assert figure.get_size_inches()[0] == pytest.approx(3.25)


def test_an_svg_for_pages_keeps_its_light_colours_and_has_others_for_dark_ones(example):
    figure = next(iter(draw_splits(split_bars(blocks_in(example.run()))).figures.values()))
    plain = file_of(figure, ".svg")
    both = for_both_modes(plain)
    light, dark = both.split(b"@media", 1)
    for colour in (COLOURS["ft"].lower(), "#ffffff"):
        assert f"{colour}:{colour}".replace("#", "--", 1).encode() in light
        assert f"fill: {colour}".encode() in plain
        assert f"fill: {colour}".encode() not in both
    assert b"--ffffff:#14181b" in dark


@needs_browser
@pytest.mark.parametrize(("scheme", "paper"), [("light", [255, 255, 255]), ("dark", [0x14, 0x18, 0x1B])])
def test_an_image_on_a_page_follows_the_mode_of_its_reader(tmp_path, example, scheme, paper):
    figure = next(iter(draw_splits(split_bars(blocks_in(example.run()))).figures.values()))
    (tmp_path / "figure.svg").write_bytes(for_both_modes(file_of(figure, ".svg")))
    page_file = tmp_path / "page.html"
    page_file.write_text('<style>:root{color-scheme:light dark}body{margin:0}</style><img src="figure.svg">')
    with opened(page_file.as_uri(), color_scheme=scheme) as page:
        page.screenshot(path=tmp_path / "shot.png")
    from matplotlib import image

    assert (255 * image.imread(tmp_path / "shot.png")[2, 2, :3]).round().tolist() == paper
