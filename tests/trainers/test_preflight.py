"""What is wrong with a sweep is told before it starts, in one line."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from flyp_sweep.search_spaces import SearchSpace, from_mapping
from flyp_sweep.search_spaces.distributions import Choice, Constant
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers import preflight
from flyp_sweep.trainers.methods.lp import STRENGTHS
from flyp_sweep.trainers.models import pretrained, weights
from flyp_sweep.trainers.models.digits_clip import CHECKPOINT

SPACE: dict[str, Any] = {"lr": 1e-3, "weight_decay": 0.1}


def space(**changes: Any) -> SearchSpace:
    search = {"num_samples": 1, "space": changes.pop("space", SPACE), "per_method": changes.pop("per_method", {})}
    given = {
        "name": "check",
        "dataset": "digits",
        "model": {"arch": "digits-clip", "pretrained": "bundled"},
        "methods": ["zeroshot", "ft", "lp"],
        "search": search,
    }
    return from_mapping({**given, **changes}, "my.yaml")


def refused(wrong: SearchSpace, *words: str, root: Path = Path("data")) -> None:
    with pytest.raises(InputError) as no:
        preflight.check(wrong, root)
    message = str(no.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def folders(root: Path, counts: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Writes `split/class/*.png`, so many of each, and describes them as a data set."""
    for split, classes in counts.items():
        for name, count in classes.items():
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (4, 4)).save(root / split / name / f"{number}.png")
    return {"name": "own", "folders": {"train": "train", "id_val": "val"}}


def test_a_good_space_passes_with_its_fingerprints_and_what_is_searched() -> None:
    checked = preflight.check(space(shots=[4, 16]), Path("data"))
    assert list(checked.searched) == ["zeroshot", "ft", "lp"]
    assert checked.searched["zeroshot"] == {}
    assert checked.searched["ft"] == {"lr": Constant(1e-3), "weight_decay": Constant(0.1)}
    assert checked.searched["lp"] == {"l2": Choice(STRENGTHS)}
    assert checked.weights == {"digits-clip": f"digits-clip:{hashlib.sha256(CHECKPOINT.read_bytes()).hexdigest()[:16]}"}
    assert checked.metrics == {"digits": "accuracy"}
    assert checked.images["digits"]["train"] == 800
    assert len(checked.data["digits"].training) == 16


def test_checks_of_the_bundled_model_import_torch_and_none_of_the_other_heavy_ones() -> None:
    script = (
        "import sys; from pathlib import Path; from flyp_sweep.search_spaces.loading import load\n"
        "from flyp_sweep.trainers import preflight\n"
        "preflight.check(load('quickstart'), Path('data'))\n"
        "print(*sorted({'torch', 'torchvision', 'open_clip', 'timm', 'scipy', 'torch._dynamo'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", script], text=True, capture_output=True).stdout == "torch\n"


def test_per_method_values_go_before_the_common_ones_and_the_defaults() -> None:
    checked = preflight.check(space(per_method={"lp": {"l2": 0.5}, "ft": {"lr": 9.0}}), Path("data"))
    assert checked.searched["lp"] == {"l2": Constant(0.5)}
    assert checked.searched["ft"]["lr"] == Constant(9.0)


def test_a_method_without_its_parameter() -> None:
    refused(space(methods=["l2sp"]), "my.yaml", "'l2sp' needs 'l2sp_strength'", "search.per_method.l2sp")
    refused(space(methods=["ft"], space={"lr": 1.0}), "'ft' needs 'weight_decay'")


def test_a_parameter_of_a_method_s_own_that_it_does_not_read() -> None:
    refused(space(per_method={"ft": {"l2": 0.1}}), "search.per_method.ft", "found 'l2'", "lr, weight_decay")
    refused(space(per_method={"zeroshot": {"lr": 0.1}}), "search.per_method.zeroshot", "no hyper-parameters")


def test_an_unknown_method() -> None:
    refused(space(methods=["ft", "flpy"]), "'flpy'", "did you mean 'flyp'?")


def test_micro_batches_of_a_method_that_takes_whole_batches() -> None:
    own = "gradients:Whole"
    assert preflight.check(space(methods=["lp", "ft", "flyp"], train={"micro_batch": 2}), Path("data"))
    assert preflight.check(space(methods=[own]), Path("data"))
    refused(space(methods=["lp", own], train={"micro_batch": 2}), "my.yaml: train.micro_batch", "found 2", own)
    together = {"cpu": 2, "processes": 2}
    assert preflight.check(space(methods=["lp", "ft", "flyp"], resources=together), Path("data"))
    refused(space(methods=["lp", own], resources=together), "my.yaml: resources.processes", "found 2; expected 1 with")


def test_an_unknown_data_set() -> None:
    refused(space(dataset="digit"), "'digit'", "did you mean 'digits'?")


def test_shots_above_the_class_size_tell_how_many_are_possible(tmp_path: Path) -> None:
    own = folders(tmp_path, {"train": {"ant": 9, "bee": 5}, "val": {"ant": 4, "bee": 7}})
    assert preflight.check(space(dataset=own, shots=4), tmp_path).images["own"] == {"train": 14, "id_val": 11}
    refused(
        space(dataset=own, shots=[1, 5]),
        "my.yaml",
        "found 5",
        "'ant'",
        "4 images in id_val",
        "at most 4",
        root=tmp_path,
    )
    refused(space(dataset=own, shots=6), "found 6", "'bee'", "5 images in train", "at most 5", root=tmp_path)


def test_the_class_that_is_short_of_images_is_named_and_only_shots_need_it() -> None:
    counts = np.bincount(preflight.datasets.make("digits", Path()).load("id_val").labels)
    most = int(counts.min())
    assert preflight.check(space(shots=most), Path("data"))
    refused(space(shots=most + 1), "my.yaml: shots", f"found {most + 1}", f"at most {most}")


def test_from_one_pool_both_draws_have_to_fit(bench: Any) -> None:
    dataset = bench.dataset(own_id_val=False)
    preflight.check_shots(dataset, space(shots=4))
    with pytest.raises(InputError, match=r"found 5; .* has 8 images in train, so at most 4") as no:
        preflight.check_shots(dataset, space(shots=5))
    assert "\n" not in str(no.value)
    with pytest.raises(InputError, match="no id_val split, which a cell without shots needs"):
        preflight.check_shots(dataset, space())


def test_files_that_are_missing(tmp_path: Path) -> None:
    own = {"name": "own", "folders": {"train": "train", "id_val": "val", "ood": {"x": "y"}}}
    refused(space(dataset=own), "'own'", str(tmp_path / "train"), "and 2 more", "--data-root", root=tmp_path)


def test_a_copy_that_differs_from_what_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = preflight.datasets.registry()["digits"]
    monkeypatch.setattr(digits, "published", {"train": 800, "id_val": 401, "id_test": 596})
    refused(
        space(), "'digits'", "'id_val'", "found 400", "expected 401", "1 more such split", "--allow-incomplete goes on"
    )
    checked = preflight.check(space(), Path("data"), allow_incomplete=True)
    assert checked.incomplete == {
        "digits": {"id_val": {"found": 400, "published": 401}, "id_test": {"found": 597, "published": 596}}
    }
    assert checked.images["digits"]["id_val"] == 400
    monkeypatch.setattr(digits, "published", {"train": 800})
    assert preflight.check(space(), Path("data")).incomplete == {}


def test_a_checkpoint_that_is_absent_or_unreadable(tmp_path: Path) -> None:
    torn = tmp_path / "torn.safetensors"
    refused(space(model={"arch": "ViT-B-32", "pretrained": str(torn)}), str(torn), "found no file")
    for content in (b"", b"not a checkpoint", CHECKPOINT.read_bytes()[:5000]):
        torn.write_bytes(content)
        refused(space(model={"arch": "digits-clip", "pretrained": str(torn)}), str(torn), "not a readable safetensors")


def test_an_unknown_architecture_or_tag() -> None:
    refused(space(model={"arch": "ViT-B-17", "pretrained": "openai"}), "'ViT-B-17'", "did you mean 'ViT-B-16'?")
    refused(space(model={"arch": "ViT-B-16", "pretrained": "opena1"}), "'opena1'", "laion2b", "did you mean 'openai'?")
    refused(space(model={"arch": "digits-clip"}), "found None", "digits-clip", "it has none")


def test_a_checkpoint_s_content_identifies_it_wherever_it_lies(tmp_path: Path) -> None:
    def fingerprint(path: Path | str) -> str:
        return weights.fingerprint(space(model={"arch": "digits-clip", "pretrained": str(path)}).models[0])

    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(CHECKPOINT.read_bytes())
    assert fingerprint(copy) == fingerprint("bundled") == fingerprint(CHECKPOINT)
    changed = bytearray(CHECKPOINT.read_bytes())
    changed[-1] ^= 1
    copy.write_bytes(changed)
    assert fingerprint(copy) != fingerprint("bundled")
    tag = space(model={"arch": "ViT-B-16", "pretrained": "openai"}).models[0]
    assert weights.fingerprint(tag) == "ViT-B-16:openai"


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_that_cannot_be_loaded_are_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="could not be loaded as digits-clip") as no:
        pretrained.load(space(model={"arch": "digits-clip", "pretrained": str(path)}).models[0], torch.device("cpu"))
    assert "\n" not in str(no.value)
    assert str(path) in str(no.value)


def test_a_pickle_that_runs_code_is_not_run(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"state_dict": Evil()}))
    torch.save({"state_dict": Evil()}, tmp_path / "evil2.pt")
    for name in ("evil.pt", "evil2.pt"):
        with pytest.raises(InputError, match="could not be loaded"):
            pretrained.load(
                space(model={"arch": "digits-clip", "pretrained": str(tmp_path / name)}).models[0], torch.device("cpu")
            )
    assert not (tmp_path / "ran").exists()
