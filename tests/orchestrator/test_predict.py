"""`flyp-sweep predict`: labels of images into a table, by an exported model or one of a run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from commands import call
from finished import Finished

from flyp_sweep.trainers.datasets.digits import Digits

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a few images, one of them damaged."""
    folder = tmp_path_factory.mktemp("predict")
    (folder / "images").mkdir()
    (folder / "empty").mkdir()
    split = Digits(folder).split("id_test")
    for row in range(5):
        split.images[row].save(folder / "images" / f"{row}.png")
    (folder / "images" / "5.png").write_bytes(b"no image")
    return folder


def test_an_exported_model_and_its_run_label_images_alike(small: Finished, folder: Path) -> None:
    assert call("export", small.run, "--method", "flyp", "-o", "model", cwd=folder)[0] == 0
    code, output = call("predict", "model", "images", "-o", "own.csv", "--threads", 1, cwd=folder)
    assert (code, output) == (0, "own.csv: 6 images; 1 image could not be read, see the column error\n")
    code, output = call("predict", "model", "images/5.png", "-o", "none.csv", "--threads", 1, cwd=folder)
    assert (code, output.splitlines()[-1]) == (
        2,
        "error: none.csv: found no image that can be read among 1 path; expected some",
    )
    assert (folder / "none.csv").is_file()
    table = pd.read_csv(folder / "own.csv")
    assert table["path"].tolist() == [f"images/{row}.png" for row in range(6)]
    assert table["error"].notna().tolist() == 5 * [False] + [True]
    names = Digits.class_names
    assert set(table["label"][:5]) <= set(names)
    assert (table["confidence"][:5] == table["probability_1"][:5]).all()
    assert (table["probability_5"][:5] <= table["probability_4"][:5]).all()
    command = ["predict", small.run, "images", "--method", "flyp", "-o", "run.parquet", "--threads", 1]
    code, output = call(*command, cwd=folder)
    assert code == 0, output
    assert "digits/digits-clip/full/flyp, seed" in output
    of_run = pd.read_parquet(folder / "run.parquet")
    pd.testing.assert_frame_equal(of_run.drop(columns="error"), table.drop(columns="error"), check_dtype=False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["RUN", "empty", "-o", "x.csv"], "empty: found no image in it or below; expected"),
        (["RUN", "absent.png", "-o", "x.csv"], "absent.png: found nothing; expected an image"),
        (["RUN", "images", "-o", "x.txt"], "-o: found x.txt; expected a file named .csv or .parquet"),
        (["RUN", "images", "-o", "x.csv"], "found 4 cells, expected one; choose by --method"),
        (
            ["empty", "images", "-o", "x.csv"],
            "empty: found no open_clip_config.json; expected a folder of `flyp-sweep export`, or a run",
        ),
        (["RUN", "images", "--method", "nn", "-o", "x.csv"], "--method: found 'nn'; expected one of zeroshot"),
    ],
)
def test_bad_input_is_one_line(small: Finished, folder: Path, arguments: list[str], told: str) -> None:
    code, output = call("predict", *(small.run if one == "RUN" else one for one in arguments), cwd=folder)
    assert (code, output.count("\n")) == (2, 1), output
    assert told in output
    assert not (folder / "x.csv").exists()
