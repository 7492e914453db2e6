"""`flyp-sweep export`: the model of a repeat as a folder, and what happens where there is none."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from commands import call, run, trials
from finished import Finished
from hub_server import hub_server
from safetensors import safe_open
from safetensors.torch import load_file

from flyp_sweep.orchestrator.store.ledger_parts import LedgerParts
from flyp_sweep.trainers.data.object_store import Storage
from flyp_sweep.trainers.datasets.digits import Digits
from flyp_sweep.trainers.evaluation.calibration import outputs

pytestmark = pytest.mark.slow

FRESH = """
import os, re, sys
sys.modules["flyp_sweep"] = None
images = sorted(os.path.join(sys.argv[1], name) for name in os.listdir(sys.argv[1]))
folders, sys.argv = sys.argv[2:], sys.argv[:1]
import numpy, torch
for folder in folders:
    os.chdir(folder)
    names = {}
    exec(re.search("```python\\n(.*?)```", open("README.md").read(), re.DOTALL)[1], names)
    parts = [names["logits"](images[at : at + 256]) for at in range(0, len(images), 256)]
    numpy.save("logits.npy", torch.cat(parts).numpy())
"""
"""Runs the lines of plain open_clip that each folder's model card holds, in a process that cannot import our code."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ID test images as files, in order."""
    folder = tmp_path_factory.mktemp("images")
    split = Digits(folder).split("id_test")
    for row in range(len(split)):
        split.images[row].save(folder / f"{row:04}.png")
    return folder


def exported(small: Finished, folder: Path, *arguments: object) -> str:
    code, output = call("export", small.run, *arguments, "-o", folder, cwd=small.folder)
    assert code == 0, output
    assert "checked: the folder's logits of 256 id_val images equal the trial's, bit for bit" in output
    return output


def trial_of(folder: Path) -> dict[str, object]:
    """What the head's header says of the trial."""
    with safe_open(folder / "head.safetensors", "pt") as file:
        return json.loads(file.metadata()["flyp_sweep"])


def test_plain_open_clip_gives_the_run_s_predictions_of_kept_models_and_of_those_that_are_trained_again(
    small: Finished, images: Path, tmp_path: Path
) -> None:
    wanted: dict[str, list[object]] = {
        **{method: ["--method", method] for method in ("zeroshot", "lp", "ft", "flyp")},
        "tuned": ["--method", "flyp", "--alpha", 1],
        "seed 0": ["--method", "flyp", "--seed", 0],
        "seed 1": ["--method", "flyp", "--seed", 1],
    }
    before = sorted(path for path in small.run.rglob("*"))
    said = {name: exported(small, tmp_path / name, *arguments) for name, arguments in wanted.items()}
    assert sorted(small.run.rglob("*")) == before, "a run is read, and nothing is added to it"
    again = [name for name, told in said.items() if "has not kept the weights" in told]
    assert len(again) == 1, "one of two seeds is the best, and kept"
    assert again[0].startswith("seed")
    assert "they are trained again, which took" in said[again[0]]
    folders = [tmp_path / name for name in wanted]
    subprocess.run([sys.executable, "-c", FRESH, images, *folders], check=True, timeout=300)
    split = Digits(tmp_path).split("id_test")
    for folder in folders:
        facts = trial_of(folder)
        table = pq.read_table(small.run / "predictions" / f"{facts['trial_id']}.parquet").to_pandas()
        own = table[(table["split"] == "id_test") & (table["alpha"] == facts["alpha"])]
        said_by_it = outputs(torch.from_numpy(np.load(folder / "logits.npy")), split)
        assert len(own) == 597
        assert (own["p_label"].to_numpy() == said_by_it.p_label).all(), folder.name
        assert (own["confidence"].to_numpy() == said_by_it.confidence).all(), folder.name


def test_a_model_that_is_trained_again_has_the_bits_of_the_kept_one(small: Finished, tmp_path: Path) -> None:
    exported(small, tmp_path / "kept", "--method", "ft")
    shutil.copytree(small.run, tmp_path / "bare", ignore=shutil.ignore_patterns("weights"))
    code, output = call("export", "bare", "--method", "ft", "-o", "again", cwd=tmp_path)
    assert code == 0, output
    assert "has not kept the weights" in output
    for kept in (tmp_path / "kept").iterdir():
        if kept.name != "README.md":  # which names the run
            assert kept.read_bytes() == (tmp_path / "again" / kept.name).read_bytes(), kept.name


def test_the_weights_of_a_run_in_a_store_come_from_there(small: Finished, tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/runs/{uuid4().hex}"
    store = Storage(url)
    for name in ("space.yaml", "run_id"):
        store.upload(small.run / name, name)
    LedgerParts(store).extend((small.run / "ledger.jsonl").read_bytes())
    code, bare = call("export", url, "--method", "lp", "-o", "bare", cwd=tmp_path)
    assert code == 0, bare
    assert "has not kept the weights" in bare
    for path in (small.run / "weights").iterdir():
        store.below("weights").upload(path, path.name)
    code, kept = call("export", url, "--method", "lp", "-o", "kept", cwd=tmp_path)
    assert code == 0, kept
    assert "has not kept" not in kept
    heads = [(tmp_path / name / "head.safetensors").read_bytes() for name in ("bare", "kept")]
    assert heads[0] == heads[1]


def test_the_folder_is_one_of_open_clip_s_with_a_card_of_the_hub_s_form(small: Finished, tmp_path: Path) -> None:
    exported(small, tmp_path / "model", "--method", "flyp", "--best")
    clip, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'model'}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'model'}")
    assert tokenizer(["a photo of a seven"]).shape == (1, 77)
    assert "size=32" in str(prepare)
    labels = json.loads((tmp_path / "model" / "labels.json").read_text())
    assert labels == list(Digits.class_names)
    prompts = json.loads((tmp_path / "model" / "prompts.json").read_text())
    texts = [torch.cat([tokenizer([one]) for one in prompts["prompts"][label]]) for label in labels]
    with torch.no_grad():
        means = torch.stack([clip.encode_text(one, normalize=True).mean(0) for one in texts])
    head = load_file(tmp_path / "model" / "head.safetensors")
    assert head.keys() == {"weight"}
    expected = clip.logit_scale.exp() * torch.nn.functional.normalize(means, dim=-1)
    torch.testing.assert_close(head["weight"], expected, rtol=1e-4, atol=1e-4)

    card = (tmp_path / "model" / "README.md").read_text()
    _, front, text = card.split("---\n", 2)
    told = yaml.safe_load(front)
    assert told["library_name"] == "open_clip"
    best = max(
        (one for one in trials(small.run) if one["stage"] == "repeat" and one["cell"]["method"] == "flyp"),
        key=lambda one: (one["score"], -one["loss"], -one["seed"]),
    )
    assert f"`{best['trial_id']}`" in text
    assert f'"lr": {best["hparams"]["lr"]}' in text
    numbers = {
        line["split"]: line["metrics"]["accuracy"]
        for at in best["evaluations"]
        if at["alpha"] == best["alpha"]
        for line in at["splits"]
    }
    shown = {one["dataset"]["split"]: one["metrics"][0]["value"] for one in told["model-index"][0]["results"]}
    assert shown == {split: value for split, value in numbers.items() if split != "id_val"}
    assert f"| id_test | ID test | accuracy | {100 * numbers['id_test']:.2f} | " in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "found 4 cells, expected one; choose by --method zeroshot, lp, ft, flyp"),
        (["--method", "flypp"], "--method: found 'flypp'; expected one of .*did you mean 'flyp'"),
        (["--dataset", "digit"], "--dataset: found 'digit'; expected one of digits .*did you mean 'digits'"),
        (["--shots", "4"], "--shots: found '4'; expected one of full"),
        (["--method", "ft", "--seed", "7"], "--seed: found 7; expected the seed of a finished repeat of .*: 0, 1"),
        (["--method", "ft", "--alpha", "1.5"], "--alpha: found 1.5; expected a number from 0"),
        (["--method", "ft", "--alpha", "best"], "--alpha: found 'best'; expected a number from 0 to 1, or chosen"),
        (["--method", "ft", "--seed", "0", "--best"], "found several of --seed, --best and --trial"),
        (["--trial", "x"], "--trial: found none that begins with 'x'"),
        (["--method", "zeroshot", "--alpha", "0.5"], "zeroshot is the model at 0: leave it out"),
        (["--method", "ft", "--push-to-hub", "model"], "--push-to-hub: found 'model'; expected ORGANISATION/NAME"),
        (["--method", "ft", "--push-to-hub", "me/model"], "--push-to-hub: found no token"),
    ],
)
def test_what_names_no_model_is_one_line(
    small: Finished, tmp_path: Path, arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    code, output = call("export", small.run, *arguments, "-o", tmp_path / "model", cwd=tmp_path)
    assert (code, output.count("\n")) == (2, 1), output
    assert output.startswith("error: ")
    assert re.search(told, output), output
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_as_it_is(small: Finished, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").touch()
    code, output = call("export", small.run, "--method", "lp", "-o", "model", cwd=tmp_path)
    assert (code, output.count("\n")) == (2, 1)
    assert "found something there already" in output
    assert [one.name for one in (tmp_path / "model").iterdir()] == ["mine"]


def test_a_trial_that_cannot_be_made_as_it_was_is_refused(small: Finished, tmp_path: Path) -> None:
    shutil.copytree(small.run, tmp_path / "changed")
    space = tmp_path / "changed" / "space.yaml"
    space.write_text(space.read_text().replace("epochs: 2", "epochs: 3"))
    code, output = call("export", "changed", "--method", "ft", "-o", "model", cwd=tmp_path)
    assert (code, output.count("\n")) == (2, 1)
    assert "cannot be made again as it was (train.epochs: 2 -> 3)" in output
    assert not (tmp_path / "model").exists()


def test_a_run_without_repeats_has_no_model(small: Finished, tmp_path: Path) -> None:
    (tmp_path / "begun").mkdir()
    shutil.copy(small.run / "space.yaml", tmp_path / "begun")
    code, output = call("export", "begun", "--method", "ft", "-o", "model", cwd=tmp_path)
    assert (code, output.count("\n")) == (2, 1)
    assert "digits/digits-clip/full/ft has no finished repeat, and so no model" in output


def test_the_folder_goes_to_a_hub(small: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["export", small.run, "--method", "lp", "--push-to-hub", "my-lab/digits", "-o"]
    with hub_server() as hub:
        for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_secret", "HF_HUB_DISABLE_XET": "1"}.items():
            monkeypatch.setenv(name, value)
        code, output = run(*command, "model", cwd=tmp_path)
        assert code == 0, output
        assert f"{hub.url}/my-lab/digits\n" in output
        hub.refuses = True
        code, refused = run(*command, "refused", cwd=tmp_path)
    assert (hub.created["organization"], hub.created["name"]) == ("my-lab", "digits")
    assert hub.created.get("private") or hub.created.get("visibility") == "private", "as huggingface_hub says it"
    assert hub.files == {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    assert hub.tokens == {"Bearer hf_secret"}
    assert code == 2
    assert f"{hub.url} did not take my-lab/digits" in refused
    assert "hf_secret" not in output + refused
    assert (tmp_path / "refused" / "README.md").is_file(), "the folder stays"


def test_a_full_disk_leaves_nothing_behind(small: Finished, tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "from flyp_sweep.orchestrator.cli.main import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "main()"
    )
    command = [sys.executable, "-c", script, "export", small.run, "--method", "lp", "-o", "model"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: model: cannot be written (")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
