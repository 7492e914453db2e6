"""Files, bundled search spaces, overrides, and the way back to YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

import flyp_sweep.search_spaces as search_spaces
from flyp_sweep.search_spaces import bundled, dump, from_mapping, load
from flyp_sweep.search_spaces.distributions import Constant, Uniform
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.yaml_text import read

FULL = """
name: fewshot_pcam
dataset:
  - pcam
  - name: mine
    folders: {train: a, id_val: b, id_test: c, ood: {sketch: d, "2019": e}}
    class_names: {"0": "no", "1": 1e-6 of it}
    templates: ["a {} in \\u00fc, 'quoted'", "{}"]
    metric: macro_f1
  - name: listed
    tables: {train: a.csv, id_val: b.tsv, id_test: c.parquet, ood: {"2019": d.CSV}}
    columns: {path: file}
    images: "1e-6"
    class_names: [x, y]
shots: [4, 16, 32]
model:
  - {arch: ViT-B-16, pretrained: openai}
  - {arch: ViT-B-16, pretrained: a/b.pt, name: "1e-6"}
methods: [zeroshot, lp, ft, l2sp, "my.module:Method"]
train: {epochs: 20, batch_size: 256, micro_batch: 32, warmup_steps: 0, templates: 3}
search:
  algorithm: optuna
  num_samples: 20
  batch: 2
  seeds: 5
  space: {lr: {loguniform: [1e-6, 1.0e-3]}, weight_decay: {choice: [0.0, 0.1]}, flag: {choice: [true, "true", 1]}}
  per_method: {l2sp: {l2sp_strength: {uniform: [0, 1]}, depth: {int: [-1, 3]}, text: "0.5"}}
early_stopping: {patience: 3}
scheduler: {name: asha, grace_epochs: 2, reduction_factor: 3}
repeats: {seeds: 50}
wise_ft: {alphas: [0, 0.5], frontier: true}
resources: {cpu: 4, gpu: 0.25}
"""


@pytest.mark.parametrize("name", sorted(bundled()))
def test_every_bundled_space_loads_and_says_what_it_is(name: str) -> None:
    space = load(name)
    assert space.name == name
    assert space.source == f"search_spaces/{name}.yaml"
    assert "flyp" in space.methods or name == "adapters"
    assert {"zeroshot", "ft"} <= set(space.methods) or name in ("ablations", "adapters")
    assert len(bundled()[name]) > 20


def test_the_bundled_spaces() -> None:
    of_the_paper = "fewshot_pcam fewshot_sst2 fewshot_vitl14 fmow imagenet imagenet_fewshot imagenet_laion iwildcam"
    ours = {"quickstart", "ablations", "fewshot_mnist", "iwildcam_vitl336", "transfer", "adapters", "all_methods"}
    assert set(bundled()) == {*of_the_paper.split(), *ours}
    assert load("fewshot_mnist").shots_list == (4, 16)
    assert load("fewshot_mnist").repeats.seeds == 10


def test_a_file_under_the_name_of_a_bundled_space_is_found_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quickstart").write_text(dump(load("quickstart", ["name=other"])))
    assert load("quickstart").name == "quickstart"
    assert load("./quickstart").name == "other"
    assert load(Path("quickstart")).name == "other"


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + FULL.replace("\n", "\r\n").encode())
    assert load(file) == from_mapping(read(FULL, "x"))


@pytest.mark.parametrize("name", [*sorted(bundled()), None])
def test_dump_loads_as_an_equal_space(name: str | None) -> None:
    space = load(name) if name else from_mapping(read(FULL, "x"))
    text = dump(space)
    again = from_mapping(read(text, "x"))
    assert again == space
    assert again.cells() == space.cells()
    assert dump(again) == text


def test_dump_fills_in_the_defaults_and_leaves_out_what_is_not_read() -> None:
    text = dump(load("fewshot_mnist", ["search={algorithm: grid}", "train={}"]))
    assert read(text, "x")["train"] == {
        "epochs": 10,
        "batch_size": 256,
        "precision": "fp32",
        "compile": False,
        "crops": "exact",
        "augmentation": "clip",
        "crop_scale": [0.9, 1.0],
        "flip": False,
        "optimizer": "adamw",
        "warmup": 0.05,
        "templates": "all",
        "pairs": "images",
        "label_smoothing": 0.0,
        "layer_decay": 1.0,
    }
    assert "scheduler: {name: fifo}" in text
    assert "num_samples" not in text


def test_dump_has_neither_aliases_nor_tags() -> None:
    text = dump(from_mapping(read(FULL, "x")))
    assert "&" not in text
    assert "!" not in text


def test_overrides() -> None:
    changes = ["train.epochs=3", "search.space.lr=1e-6", "resources.cpu=2", "shots=", "train.epochs=4"]
    space = load("fewshot_mnist", changes)
    assert space.train.epochs == 4
    assert space.for_method("ft")["lr"] == Constant(1e-6)
    assert space.resources is not None
    assert space.resources.cpu == 2.0
    assert space.shots is None


def test_methods_that_an_override_leaves_out_take_their_hyper_parameters_with_them() -> None:
    space = load("ablations", ["methods=[flyp, flyp_ce]"])
    assert space.methods == ("flyp", "flyp_ce")
    assert space.search.per_method == {}
    assert load("ablations", ["methods=[flyp, flyp_plus_ce]"]).search.per_method.keys() == {"flyp_plus_ce"}
    for mistake in ("lpp", "flyp_plus_ce"):  # neither a name that was never there nor one that is given on purpose
        with pytest.raises(InputError, match=f"found '{mistake}'; expected one of the methods of this search space"):
            load("ablations", ["methods=[flyp]", f"search.per_method={{{mistake}: {{a: 1}}}}"])


def test_an_override_reaches_into_a_distribution() -> None:
    space = load("quickstart", ["search.space={}", "search.space.lr.uniform=[0, 1]"])
    assert space.for_method("ft") == {"lr": Uniform(0.0, 1.0)}


def test_overrides_leave_the_mapping_alone() -> None:
    data = read(FULL, "x")
    from_mapping(data, overrides=["train.epochs=3"])
    assert data == read(FULL, "x")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("9" * 30, 1e30),
        ("9" * 5000, float("inf")),
        ("no", "no"),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("'1e-6'", "1e-6"),
        ("true", True),
        ("~", None),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_plain_values(text: str, value: object) -> None:
    found = read(text, "x")
    assert found == value
    assert type(found) is type(value)


def test_every_public_name_is_there() -> None:
    for name in search_spaces.__all__:
        assert getattr(search_spaces, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        search_spaces.lod  # noqa: B018
