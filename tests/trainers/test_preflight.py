"""What is wrong with a sweep is told before it starts, in one line."""

from __future__ import annotations

import functools
import hashlib
import json
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import refusal
import torch
from PIL import Image
from spaces import space_with

from flyp_sweep.search_spaces import SearchSpace
from flyp_sweep.search_spaces.distributions import Choice, Constant
from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers import data_checks, ensembles, methods, preflight
from flyp_sweep.trainers.ensembles.logit_ensemble import LogitEnsemble
from flyp_sweep.trainers.methods.lp import STRENGTHS
from flyp_sweep.trainers.methods.zeroshot import ZeroShot
from flyp_sweep.trainers.models import pretrained, weights
from flyp_sweep.trainers.models.digits_clip import CHECKPOINT

SPACE: dict[str, Any] = {"lr": 1e-3, "weight_decay": 0.1}


def space(**changes: Any) -> SearchSpace:
    search = {"num_samples": 1, "space": changes.pop("space", SPACE), "per_method": changes.pop("per_method", {})}
    return space_with(**{"methods": ["zeroshot", "ft", "lp"], "search": search, **changes})


def refused(wrong: SearchSpace, *words: str, root: Path = Path("data")) -> None:
    refusal.refused(lambda: preflight.check(wrong, root), *words)


def folders(root: Path, counts: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Writes `split/class/*.png`, so many of each and none like another, and describes them as a data set."""
    shades = iter(range(256))
    for split, classes in counts.items():
        for name, count in classes.items():
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (4, 4), (next(shades), 0, 0)).save(root / split / name / f"{number}.png")
    return {"name": "own", "folders": {"train": "train", "id_val": "val"}}


def test_a_good_space_passes_with_its_fingerprints_and_what_is_searched() -> None:
    checked = preflight.check(space(shots=[4, 16]), Path("data"))
    assert {name: method.searched for name, method in checked.methods.items()} == {
        "zeroshot": {},
        "ft": {"lr": Constant(1e-3), "weight_decay": Constant(0.1)},
        "lp": {"C": Choice(STRENGTHS)},
    }
    (model,), (digits,) = checked.models.values(), checked.data.values()
    assert model.fingerprint == f"digits-clip:{hashlib.sha256(CHECKPOINT.read_bytes()).hexdigest()[:16]}"
    assert digits.metric == "accuracy"
    assert digits.images["train"] == 800
    assert len(digits.identity.training) == 16


def test_per_method_values_go_before_the_common_ones_and_the_defaults() -> None:
    checked = preflight.check(space(per_method={"lp": {"l2": 0.5}, "ft": {"lr": 9.0}}), Path("data"))
    assert checked.methods["lp"].searched == {"l2": Constant(0.5)}
    assert checked.methods["ft"].searched["lr"] == Constant(9.0)


def test_a_strength_may_be_given_in_its_other_unit_and_not_in_both() -> None:
    assert preflight.check(space(space={"lr": 1.0, "weight_decay": 0.1, "l2": 0.5}), Path("data")).methods[
        "lp"
    ].searched == {"l2": Constant(0.5)}
    refused(space(per_method={"lp": {"l2": 0.1, "C": 1.0}}), "'C' and 'l2' for method 'lp'", "leave out one of them")


def test_a_method_without_its_parameter() -> None:
    refused(space(methods=["l2sp"]), "my.yaml", "'l2sp' needs 'l2sp_strength'", "search.per_method.l2sp")
    refused(space(methods=["ft"], space={"lr": 1.0}), "'ft' needs 'weight_decay'")


def test_a_misspelt_parameter_is_told_with_the_near_name_before_what_it_leaves_absent() -> None:
    near = "(did you mean 'weight_decay'?)"
    refused(space(methods=["ft"], space={"lr": 1.0, "weigth_decay": 0.1}), "search.space: found 'weigth_decay'", near)
    own = {"ft": {"lr": 1.0, "weigth_decay": 0.1}}
    refused(space(methods=["ft"], space={}, per_method=own), "per_method.ft: found 'weigth_decay'; ft has lr, ", near)


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
    assert preflight.check(space(dataset=own, shots=4), tmp_path).data["own"].images == {"train": 14, "id_val": 11}
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
    data_checks.check_shots(dataset, space(shots=4))
    for shots, word in (
        (5, "8 images in train, from which a few-shot"),
        (None, "no id_val split, which a cell without shots n"),
    ):
        refusal.refused(lambda shots=shots: data_checks.check_shots(dataset, space(shots=shots)), word)


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
    found = checked.data["digits"]
    assert found.incomplete == {
        "id_val": {"found": 400, "published": 401},
        "id_test": {"found": 597, "published": 596},
    }
    assert found.images["id_val"] == 400
    monkeypatch.setattr(digits, "published", {"train": 800})
    assert preflight.check(space(), Path("data")).data["digits"].incomplete == {}


def test_a_checkpoint_that_is_absent(tmp_path: Path) -> None:
    path = str(tmp_path / "absent.safetensors")
    refused(space(model={"arch": "ViT-B-32", "pretrained": path}), path, "found no file")


def test_an_unknown_architecture_or_tag() -> None:
    refused(space(model={"arch": "ViT-B-17", "pretrained": "openai"}), "'ViT-B-17'", "did you mean 'ViT-B-16'?")
    refused(space(model={"arch": "ViT-B-16", "pretrained": "opena1"}), "'opena1'", "laion2b", "did you mean 'openai'?")
    refused(space(model={"arch": "digits-clip"}), "found None", "a tag of digits-clip: bundled")
    refused(space(model={"arch": "digits-clip", "pretrained": "bundeled"}), "did you mean 'bundled'?")


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


def test_weights_that_cannot_be_loaded_are_refused_and_the_code_of_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "a.pt").write_bytes(b"not a checkpoint")
    (tmp_path / "a.safetensors").write_bytes(b"not a checkpoint")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"state_dict": Evil()}))
    torch.save({"state_dict": Evil()}, tmp_path / "evil2.pt")
    for path in list(tmp_path.iterdir()):
        model = Model(arch="digits-clip", pretrained=str(path))
        load = functools.partial(pretrained.load, model, torch.device("cpu"))
        refusal.refused(load, str(path), "could not be loaded as digits-clip")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("model", "batch", "told"), [("RN50", 4, 1), ("RN50", 3, 0), ("ViT-B-32", 4, 0)])
def test_a_last_batch_of_one_is_told_where_batches_are_normalised(
    tmp_path: Path, model: str, batch: int, told: int
) -> None:
    own = folders(tmp_path, {"train": {"ant": 4, "bee": 5}, "val": {"ant": 1, "bee": 1}})
    given = space(dataset=own, model={"arch": model, "pretrained": "openai"}, train={"batch_size": batch})
    assert len(preflight.last_batches(given, 9, 2)) == told


def test_a_model_in_a_folder_is_known_to_normalise_batches(tmp_path: Path) -> None:
    vision = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    config = {"model_cfg": {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    given = space(model={"arch": f"local-dir:{tmp_path}"}, train={"batch_size": 4})
    assert len(preflight.last_batches(given, 9, 2)) == 1


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("LP", ("lp and labels_of_mine:Mine both have the label 'LP'", "expected labels that tell rows apart")),
        ("two\nlines", ("labels_of_mine:Mine has the label 'two\\nlines'", "expected one printable line")),
        ("_hidden", ("has the label '_hidden'", "does not begin with _")),
        ("", ("has the label ''",)),
        (3, ("has the label 3",)),
    ],
)
def test_labels_that_tables_cannot_print_or_tell_apart_are_refused(
    label: object, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(ZeroShot):
        name = "mine"

    module = types.ModuleType("labels_of_mine")
    Mine.label, module.Mine = label, Mine  # type: ignore[assignment, attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(methods, "get", methods.get.__wrapped__)
    refused(space(methods=["lp", "labels_of_mine:Mine"]), *words)


def test_two_ensembles_of_one_label_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(LogitEnsemble):
        label = "greedy soup"

    module = types.ModuleType("ensembles_of_mine")
    module.Mine = Mine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(ensembles, "get", ensembles.get.__wrapped__)
    given = space(methods=["ft"], ensembles=["greedy_soup", "ensembles_of_mine:Mine"])
    refused(given, "ensembles: greedy_soup and ensembles_of_mine:Mine both have the label 'greedy soup'")
