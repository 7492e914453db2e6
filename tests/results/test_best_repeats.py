"""What the models predict: the best repeat of each cell, in the report and in figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ledgers import Example, typed
from outputs import write_outputs_of
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from flyp_sweep.results import RunFolder
from flyp_sweep.results.analysis.best_repeats import ID, OOD, Predicted, predicted_in
from flyp_sweep.results.figures.confusion import draw_confusion
from flyp_sweep.results.figures.reliability import draw_reliability
from flyp_sweep.results.outputs import plot_run, write_outputs
from flyp_sweep.results.report.prediction_views import HARDEST, prediction_views
from flyp_sweep.results.statistics import holm, reliability
from flyp_sweep.search_spaces.errors import InputError

MANY = [f"kind {at}" for at in range(25)]


def records_of(example: Example) -> list[dict[str, object]]:
    """The second repeat of every method is the best on ID validation data."""
    return [
        record | {"score": 0.95 if record["seed"] == 1 else 0.9}
        if record["kind"] == "trial" and record["stage"] == "repeat"
        else record
        for record in example.run()
    ]


def predicted(folder: Path, example: Example, **options: object) -> Predicted:
    records = records_of(example)
    example.write(folder, records)
    write_outputs_of(folder, records, **options)
    return predicted_in(typed(records), folder / "predictions")


def test_the_best_repeat_of_each_cell_is_shown_at_its_alpha(tmp_path, example):
    (block,) = predicted(tmp_path, example).blocks
    assert [(one.method, one.seed, one.alpha) for one in block.methods] == [
        ("zeroshot", 0, 0.0),
        ("ft", 1, 0.6),
        ("flyp", 1, 0.6),
    ]
    one = block.methods[2]
    frame = RunFolder(tmp_path).predictions(method="flyp", seed=1, side="with")
    on_id = frame[frame["split"] == "id_test"]
    right = (on_id["label"] == on_id["predicted"]).to_numpy()
    assert one.pooled[ID].correct.tolist() == right.tolist()
    assert one.pooled[ID].nll == pytest.approx(-np.log(on_id["p_label"]).mean())
    assert np.array_equal(one.confusion, confusion_matrix(on_id["label"], on_id["predicted"]))
    ood = frame[frame["split"] != "id_test"]
    expected = reliability(ood["confidence"].to_numpy(), (ood["label"] == ood["predicted"]).to_numpy())
    assert one.pooled[OOD].reliability.error == pytest.approx(expected.error)
    assert one.pooled[OOD].brier is None


def test_the_brier_score_of_all_ood_sets_weighs_images(tmp_path, example):
    records = records_of(example)
    for record in records:
        for at in record.get("evaluations", []):
            for split in at["splits"]:
                split["metrics"]["brier"] = {"photo": 0.2, "sketch": 0.6}.get(split["split"], 0.1)
    write_outputs_of(tmp_path, records)
    (block,) = predicted_in(typed(records), tmp_path / "predictions").blocks
    assert block.methods[0].pooled[OOD].brier == pytest.approx(0.4)
    assert block.methods[0].pooled[ID].brier == pytest.approx(0.1)


def test_a_method_that_lacks_an_ood_set_is_not_pooled_beside_others_that_have_it(tmp_path, example):
    records = [
        example.without(one, "photo") if one["kind"] == "trial" and one["cell"]["method"] == "ft" else one
        for one in records_of(example)
    ]
    write_outputs_of(tmp_path, records)
    (block,) = predicted_in(typed(records), tmp_path / "predictions").blocks
    assert {one.method: list(one.pooled) for one in block.methods} == {
        "zeroshot": [ID, OOD],
        "ft": [ID],
        "flyp": [ID, OOD],
    }


def test_every_two_methods_are_compared_on_the_same_images_and_corrected_together(tmp_path, example):
    (block,) = predicted(tmp_path, example).blocks
    assert list(block.pairs) == ["id_test", "photo", "sketch"]
    pairs = block.pairs["photo"]
    assert [(pair.a, pair.b) for pair in pairs] == [("Zeroshot", "FT"), ("Zeroshot", "FLYP"), ("FT", "FLYP")]
    raw = []
    for pair in pairs:
        only = pair.test.a_alone, pair.test.b_alone
        raw.append(binomtest(only[0], sum(only)).pvalue if sum(only) else 1.0)
    assert [pair.adjusted for pair in pairs] == pytest.approx(holm(np.array(raw)).tolist())
    (view,) = prediction_views([block], {})
    label, entries = view.differences[0]
    assert label == "Zeroshot - FT"
    assert f"{100 * block.pairs['id_test'][0].test.difference:+.1f} (p " in entries[0].text


def test_a_method_without_a_file_is_named(tmp_path, example):
    (whole,) = predicted(tmp_path, example).blocks
    (tmp_path / "predictions" / f"{whole.methods[1].trial_id}.parquet").unlink()
    write_outputs(RunFolder(tmp_path), [])
    assert "The run holds no predictions of the best repeat of FT." in (tmp_path / "report.html").read_text()


def test_methods_on_other_images_are_not_compared(tmp_path, example):
    records = records_of(example)
    write_outputs_of(tmp_path, [one for one in records if one["cell"]["method"] != "flyp"])
    write_outputs_of(tmp_path, [one for one in records if one["cell"]["method"] == "flyp"], examples=39)
    (block,) = predicted_in(typed(records), tmp_path / "predictions").blocks
    assert [(pair.a, pair.b) for pair in block.pairs["id_test"]] == [("Zeroshot", "FT")]


@pytest.mark.parametrize("classes", [("cat", "dog", "emu"), MANY], ids=["heat maps", "pairs"])
def test_the_figures_have_a_panel_for_each_method(tmp_path, example, classes):
    found = predicted(tmp_path, example, examples=200, classes=classes)
    ((stem, figure),) = draw_confusion(found).figures.items()
    assert stem == "confusion-digits-digits-clip-full"
    maps = [text.get_text() for text in figure.axes[0].texts]
    assert (maps or [axes.get_title("left") for axes in figure.axes]) == ["Zeroshot", "FT", "FLYP"]
    ((_, figure),) = draw_reliability(found).figures.items()
    assert [axes.get_title("left") for axes in figure.axes] == ["ID test", "all OOD"]
    points = figure.axes[0].get_lines()[-1].get_xydata()
    expected = found.blocks[0].methods[-1].pooled[ID].reliability
    assert points.tolist() == (100 * np.stack([expected.confidence, expected.accuracy], axis=1)).tolist()
    (view,) = prediction_views(found.blocks, {})
    assert len(view.accuracies) == (3 if classes != MANY else HARDEST)
    assert [method for method, _ in view.confused] == ([] if classes != MANY else ["Zeroshot", "FT", "FLYP"])


def test_the_page_has_a_section_on_what_the_models_predict(tmp_path, example):
    predicted(tmp_path, example)
    written = write_outputs(RunFolder(tmp_path), [])
    page = (tmp_path / "report.html").read_text()
    assert "What the models predict" in page
    assert page.count("data:image/svg") >= 3
    assert {path.stem for path in written.paths} >= {
        "reliability-digits-digits-clip-full",
        "confusion-digits-digits-clip-full",
    }


@pytest.mark.parametrize("broken", [False, True])
def test_a_run_without_predictions_has_no_section_and_says_why_there_is_no_figure(tmp_path, example, broken):
    example.write(tmp_path, example.run())
    if broken:
        predicted(tmp_path, example)
        for path in (tmp_path / "predictions").iterdir():
            path.write_bytes(path.read_bytes()[:-10])
    write_outputs(RunFolder(tmp_path), [])
    assert "What the models predict" not in (tmp_path / "report.html").read_text()
    reason = "cannot be read" if broken else "the run has no predictions of single images"
    assert any(reason in line for line in plot_run(RunFolder(tmp_path), tmp_path / "out").warnings)
    with pytest.raises(InputError, match=f"found no confusion figure: digits, digits-clip, confusion: .*{reason}"):
        plot_run(RunFolder(tmp_path), None, "confusion")
