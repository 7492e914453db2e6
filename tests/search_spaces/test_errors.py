"""Bad input: one line with the file, the key path, what was found, what is allowed and the nearest known name."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyp_sweep.search_spaces import InputError, load, space_error

BASE = """
name: x
dataset: digits
model: {arch: digits-clip, pretrained: bundled}
methods: [ft, flyp]
search: {num_samples: 3, space: {lr: 1e-3}}
"""
OWN = "dataset={name: a, folders: {train: a, id_val: b%s}%s}"
TABLES = "dataset={name: a, tables: {train: a.csv, id_val: b.PARQUET%s}%s}"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def complaint(text: str | bytes, *overrides: str) -> str:
    Path("x.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        load("x.yaml", overrides)
    line = str(caught.value)
    assert line.isprintable()
    return line


def test_the_base_of_these_tests_is_valid() -> None:
    Path("x.yaml").write_text(BASE)
    assert load("x.yaml").source == "x.yaml"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            BASE + "train: {epoch: 3}",
            "x.yaml:7: unknown key 'epoch' in train; allowed: epochs, batch_size, micro_batch, precision, compile, "
            "crops, augmentation, crop_scale, flip, optimizer, warmup, warmup_steps, grad_clip, templates, "
            "pairs, label_smoothing, layer_decay (did you mean 'epochs'?)",
        ),
        (
            BASE.replace("lr: 1e-3", "lr: {loguniform: [0.1, 0.001]}"),
            "x.yaml:6: search.space.lr: found {loguniform: [0.1, 0.001]}; expected low < high (write [0.001, 0.1])",
        ),
        (BASE + "shots: '4'", "x.yaml:7: shots: found '4'; expected a whole number, 1 or more, or a list of them "),
        (BASE.replace("name: x", "name: ../x"), "x.yaml:2: name: found '../x'; expected at most 100 of a-z, 0-9,"),
        (BASE.replace("name: x", "name: 3"), "x.yaml:2: name: found 3; expected a name of a-z"),
        (
            BASE.replace("search:", "serch:"),
            "x.yaml:6: unknown key 'serch'; allowed: name, dataset, shots, model, methods, images, train, search, "
            "early_stopping, scheduler, repeats, wise_ft, ensembles, evaluate, failures, checkpoints, weights, "
            "predictions, mlflow, loggers, resources, notify, tables (did you mean 'search'?)",
        ),
        ("[1, 2]", "x.yaml: found [1, 2]; expected a mapping with keys out of name, dataset,"),
        ("", "x.yaml: found an empty file; expected a mapping with keys out of name,"),
        ("# nothing\n", "x.yaml: found an empty file"),
        (BASE + "name: y", "x.yaml: line 7, column 1: found key 'name' twice in one mapping"),
        (BASE + "train:\n\tepochs: 3", "x.yaml: line 8, column 1: not valid YAML: found a tab; expected spaces"),
        (BASE + "train: {epochs: 3", "not valid YAML: while parsing a flow mapping, expected ',' or '}'"),
        ("a: b: c", "x.yaml: line 1, column 5: not valid YAML: mapping values are not allowed here"),
        ("a\n--- b", "not valid YAML: expected a single document in the stream, but found another document"),
        (b"\xff\xfe\x00", "x.yaml: found byte 0xff at position 0; expected text in UTF-8"),
        ("a: \x07", "x.yaml: found character U+0007; expected text without control characters"),
        ('a: "\\ud800"', "x.yaml: line 1, column 4: found half of a surrogate pair"),
        ('a: "\\Uffffffff"', "x.yaml: not valid YAML: "),
        ("[" * 5000, "found more than 20 levels of nesting"),
        ("a: &a [*a]", "x.yaml: line 1, column 4: found aliases that unfold to more than"),
        ("a: !!python/object:os.system x", "found tag 'tag:yaml.org,2002:python/object:os.system'; expected a value"),
        ("a: !!int x", "found tag 'tag:yaml.org,2002:int'; expected a value without a tag"),
        ("? [1]\n: 2", "x.yaml: line 1, column 3: found a list or a mapping as a key; expected a text"),
        (b"a: " + b"b" * 1_000_001, "x.yaml: found more than 1000000 bytes"),
    ],
)
def test_files(text: str | bytes, line: str) -> None:
    assert line in complaint(text)


def test_an_alias_bomb_is_refused_before_it_unfolds() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 15)]
    assert "aliases that unfold to more than 20000 values" in complaint("\n".join(rows))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "unknown key 'epoch' in train; allowed: epochs,"),
        ("train.epochs=true", "train.epochs: found true; expected a whole number"),
        ("train.epochs=1.5", "train.epochs: found 1.5; expected a whole number"),
        ("train.epochs='3'", "train.epochs: found '3'; expected a whole number, 1 or more (leave out the quotes)"),
        ("train.batch_size=1", "train.batch_size: found 1; expected a whole number, 2 or more"),
        ("train.micro_batch=0", "train.micro_batch: found 0; expected auto, or a whole number, 1 or more"),
        ("train.micro_batch=257", "train.micro_batch: found 257; expected at most train.batch_size, 256 (or leave it"),
        ("train.crops=batchd", "train.crops: found 'batchd'; expected one of exact, batched (did you mean 'batched'?)"),
        ("train.templates=al", "train.templates: found 'al'; expected all, or how many prompt templates"),
        ("train=3", "train: found 3; expected a mapping with keys out of epochs, batch_size"),
        ("search=null", "search: found nothing; expected a mapping such as {num_samples: 20"),
        ("search.num_samples=null", "search.num_samples: found nothing; expected a whole number, 1 or more, with"),
        ("search.algorithm=grid", "search.num_samples: found 3; expected nothing with algorithm grid"),
        (
            "search={algorithm: grid, space: {lr: {uniform: [0, 1]}}}",
            "search.space.lr: found {uniform: [0.0, 1.0]}; ex",
        ),
        (
            "search={algorithm: grid, per_method: {ft: {lr: {uniform: [0, 1]}}}}",
            "search.per_method.ft.lr: found {uniform: [0.0, 1.0]}; expected a choice, an int range or a fixed value",
        ),
        (
            "search={algorithm: grid, space: {a: {int: [0, 10000]}}}",
            "search.space: found a grid of 10001 configurations",
        ),
        (
            "search.per_method={fltp: {a: 1}}",
            "found 'fltp'; expected one of the methods of this search space: ft, flyp",
        ),
        ("search.space={seed: 1}", "search.space.seed: found 'seed'; expected a name that is no column of the results"),
        ("search.space={a b: 1}", "search.space.'a b': found 'a b'; expected a hyper-parameter's name"),
        ("search.space={1: 3}", "search.space: found key 1; expected a text as a key (write '1')"),
        ("search.space=[lr]", "search.space: found [lr]; expected a mapping from hyper-parameters to distributions"),
        ("methods=[]", "methods: found []; expected a list of methods, as in"),
        ("methods=ft", "methods: found 'ft'; expected a list of methods, as in"),
        ("methods=[ft, ft]", "methods: found [ft, ft]; expected every item once, not 'ft' twice"),
        ("methods=[ft, 3]", "methods[1]: found 3; expected a text (in quotes it is a text: '3')"),
        ("methods=['a:']", "methods[0]: found 'a:'; expected a method's name, or module.path:ClassName"),
        ("shots=0", "shots: found 0; expected a whole number, 1 or more"),
        ("shots=[4, x]", "shots[1]: found 'x'; expected a whole number"),
        ("model=ViT-B-16", "model: found 'ViT-B-16'; expected a mapping such as {arch: ViT-B-16, pretrained: openai}"),
        ("model={arhc: x}", "unknown key 'arhc' in model; allowed: arch, pretrained, name (did you mean 'arch'?)"),
        ("model=[{arch: a}, {arch: b, tag: c}]", "unknown key 'tag' in model[1]; allowed: arch, pretrained, name"),
        (
            "model=[{arch: a}, {arch: a, pretrained: bundled}]",
            "model: found two models shown as 'a'; expected different",
        ),
        (
            "dataset=3",
            "dataset: found 3; expected a data set's name, a mapping for your own images, or a list of these",
        ),
        ("dataset=[digits, digits]", "dataset: found two data sets named 'digits'; expected every data set once"),
        ("dataset={folders: {train: a}}", "dataset.name: found nothing; expected a name of a-z"),
        (OWN % (", vla: 3", ""), "unknown key 'vla' in dataset.folders; allowed: train, id_val, id_test, ood"),
        (
            OWN % (", ood: {train: x}", ""),
            "dataset.folders.ood: found 'train'; expected a label that is no other split",
        ),
        (OWN % ("", ", class_names: [a]"), "dataset.class_names: found [a]; expected at least 2 texts"),
        (OWN % ("", ", class_names: {a: x, b: x}"), "dataset.class_names: found 'x'; expected every display name once"),
        (OWN % ("", ", templates: [photo]"), "dataset.templates[0]: found 'photo'; expected exactly one {}"),
        (OWN % ("", ", templates: ['{} {c}']"), "dataset.templates[0]: found '{} {c}'; expected exactly one {}"),
        (OWN % ("", ", metric: acuracy"), "dataset.metric: found 'acuracy'; expected one of accuracy, mean_per_class"),
        (
            OWN % ("", ", columns: {}"),
            "unknown key 'columns' in dataset; allowed: name, class_names, templates, metric, predict_among, folders",
        ),
        (OWN % ("", ", tables: {}"), "dataset: found folders and tables; expected one of them: "),
        ("dataset={name: a}", "dataset: found no key that names images"),
        (
            "dataset=[digits, {name: a, tabels: {train: a.csv}}]",
            "unknown key 'tabels' in dataset[1]; allowed: name, class_names, templates, metric, predict_among, tables, "
            "columns, images (did you mean 'tables'?)",
        ),
        (
            TABLES % (", id_test: c.xlsx", ""),
            "dataset.tables.id_test: found 'c.xlsx'; expected the path of a .csv, .tsv or .parquet file",
        ),
        (
            TABLES % ("", ", columns: {lable: x}"),
            "unknown key 'lable' in dataset.columns; allowed: path, label, split, group, caption (did you mean",
        ),
        (TABLES % ("", ", columns: {path: 3}"), "dataset.columns.path: found 3; expected the name of a column, or a"),
        (
            TABLES % ("", ", columns: {path: label}"),
            "dataset.columns.label: found 'label'; expected another column than that of the paths",
        ),
        (
            TABLES % ("", ", columns: {split: label}"),
            "dataset.columns.split: found 'label'; expected another column than those of paths and labels",
        ),
        (
            TABLES % ("", ", columns: {path: 'p/{a'}"),
            "dataset.columns.path: found 'p/{a'; expected the name of a co",
        ),
        (
            TABLES % ("", ", columns: {split: {trian: {split: 0}}}"),
            "dataset.columns.split: found 'trian'; expected one of train, id_val (did you mean 'train'?)",
        ),
        (
            TABLES % ("", ", columns: {split: {train: 0}}"),
            "dataset.columns.split.train: found 0; expected the name of a column, or conditions for each split, as in",
        ),
        (
            TABLES % ("", ", columns: {split: {train: {s: true}}}"),
            "split.train.s[0]: found true; expected a text",
        ),
        (
            TABLES % ("", ", columns: {group: []}"),
            "dataset.columns.group: found []; expected the name of a column",
        ),
        (OWN % (", ood: {a: c}", ", predict_among: {b: present}"), "predict_among: found 'b'; expected one of a"),
        (OWN % ("", ", predict_among: {train: present}"), "dataset.predict_among: found 'train'; expected nothing, as"),
        (
            OWN % (", ood: {a: c}", ", predict_among: {a: some}"),
            "dataset.predict_among.a: found 'some'; expected a ",
        ),
        (OWN % (", ood: {a: c}, ood_val: {a: c}", ""), "ood: found 'a'; expected a label that ood_val does not have"),
        (
            OWN % (", ood_val: {train: c}", ""),
            "dataset.folders.ood_val: found 'train'; expected a label",
        ),
        (
            TABLES % (", ood_val: {a: c}", ""),
            "dataset.tables.ood_val.a: found 'c'; expected the path of a",
        ),
        (TABLES % ("", ", images: 3"), "dataset.images: found 3; expected the path of a folder"),
        (
            TABLES % ("", ", imags: x"),
            "unknown key 'imags' in dataset; allowed: name, class_names, templates, metric, predict_among, tables, ",
        ),
        ("early_stopping.patience=0", "early_stopping.patience: found 0; expected none, or a whole number, 1 or more"),
        ("early_stopping.metric=f1", "early_stopping.metric: found 'f1'; expected one of accuracy, loss"),
        ("train.warmup=1", "train.warmup: found 1; expected a share of all steps: a number from 0, below 1"),
        (
            "train={warmup: 0.1, warmup_steps: 5}",
            "train.warmup_steps: found 5; expected nothing beside train.warmup",
        ),
        ("train.grad_clip=0", "train.grad_clip: found 0; expected a number above 0, or a mapping from methods to such"),
        (
            "train.grad_clip={lpft: 1.0}",
            "train.grad_clip: found 'lpft'; expected one of the methods of this search",
        ),
        ("train.layer_decay=0", "train.layer_decay: found 0; expected a number above 0, at most 1"),
        ("train.label_smoothing=1", "train.label_smoothing: found 1; expected a number from 0, below 1"),
        (
            "train={augmentation: none, flip: true}",
            "train.flip: found true; expected nothing with train.augmentation",
        ),
        (
            "train={augmentation: flip, crop_scale: [0.5, 1.0]}",
            "train.crop_scale: found [0.5, 1.0]; expected nothing with train.augmentation flip (or augmentation: clip",
        ),
        (
            "train={augmentation: randaugment, crops: batched}",
            "train.crops: found 'batched'; expected exact with train.augmentation randaugment, which changes each im",
        ),
        ("train.augmentation=cutout", "train.augmentation: found 'cutout'; expected one of none, flip, clip, randaug"),
        ("train.crop_scale=[1.0, 0.5]", "train.crop_scale: found [1.0, 0.5]; expected the smaller share first (write"),
        (
            "scheduler={name: fifo, grace_epochs: 3}",
            "scheduler.grace_epochs: found 3; expected nothing with scheduler f",
        ),
        ("scheduler={name: asha, grace_epochs: 11}", "scheduler.grace_epochs: found 11; expected at most train.epochs"),
        ("wise_ft.alphas=1", "wise_ft.alphas: found 1; expected a whole number from 2 to 1001, or a list of numbers"),
        ("wise_ft.alphas=[0.5, 2]", "wise_ft.alphas[1]: found 2; expected"),
        ("wise_ft.alphas=[0.5, .nan]", "wise_ft.alphas[1]: found nan; expected"),
        ("wise_ft.alphas=[0.5, 0.5]", "wise_ft.alphas: found [0.5, 0.5]; expected every alpha once"),
        ("wise_ft.frontier=yes", "wise_ft.frontier: found 'yes'; expected true or false"),
        ("resources={gpu: 1}", "resources.cpu: found nothing; expected a number above 0"),
        ("resources={cpu: .inf}", "resources.cpu: found inf; expected a number above 0"),
        ("resources={cpu: 0}", "resources.cpu: found 0; expected a number above 0"),
        ("resources={cpu: 4, gpu: 1.5}", "resources.gpu: found 1.5; expected a part of one GPU, or a whole number"),
        ("resources={cpu: 1, gpu: 2}", "resources.processes: found 2; expected at most one process for each of 1 CPUs"),
        ("train.epochs=10000000000", "found 10000000000; expected a whole number, 1 or more (at most 1e+09)"),
        ('search.space={a: "x\\ny"}', "search.space.a: found 'x\\ny'; expected a finite number, a text"),
        (f"name={'a' * 200}", f"name: found '{'a' * 56}...; expected"),
    ],
)
def test_values(override: str, message: str) -> None:
    assert message in complaint(BASE, override)


def test_an_error_names_the_override_it_stems_from() -> None:
    line = complaint(BASE, "repeats.seeds=2", "train.epochs=0")
    assert line == "x.yaml with --set train.epochs=0: train.epochs: found 0; expected a whole number, 1 or more"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs", "--set: found 'train.epochs'; expected key.path=value, as in train.epochs=3"),
        ("=3", "--set: found '=3'; expected key.path=value"),
        ("train..epochs=3", "--set: found 'train..epochs=3'; expected key.path=value"),
        ("train.epochs=[", "--set train.epochs=[: line 1, column 2: not valid YAML"),
        ("name.x=3", "x.yaml:2: name: found 'x'; expected a mapping, as --set name.x=3 needs one"),
        ("train.epochs={a: 1, a: 2}", "found key 'a' twice in one mapping"),
    ],
)
def test_overrides(override: str, message: str) -> None:
    assert message in complaint(BASE, override)


LONG = """name: x
dataset:
  name: own
  folders:
    train: a
    id_val: b
    ood: {sketch: c,
      train: d}
model:
  - {arch: a}
  - arch: b
    tag: c
methods:
  - ft
  - fltp: 1
search:
  algorithm: grid
  per_method:
    "my.module:Mine":
      lr: {uniform: [0, 1]}
"""


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        (
            {},
            [
                "x.yaml:12: unknown key 'tag' in model[1]",
                "also line 7: dataset.folders.ood",
                "also line 15: unknown key 'fltp' in methods[1]",
            ],
        ),
        (
            {"    tag: c\n": "", "      train: d": "      real: d", "fltp: 1": "my.module:Mine"},
            ["x.yaml:19: search.per_method.my.module:Mine.lr: found {uniform: [0.0, 1.0]}"],
        ),
        (
            {"    tag: c\n": "", "      train: d": "      real: d", "fltp: 1": "flyp", "uniform: [0": "choice: [0"},
            ["x.yaml:17: search.per_method: found 'my.module:Mine'; expected one of the methods"],
        ),
    ],
)
def test_an_error_names_the_line_of_its_key(changes: dict[str, str], places: list[str]) -> None:
    text = LONG
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    line = complaint(text)
    for place in places:
        assert place in line


def test_errors_of_an_override_and_of_the_file_are_told_apart() -> None:
    line = complaint(BASE + "shots: x", "train.epochs=0")
    assert line.startswith("x.yaml:7: shots: found 'x'; ")
    assert "; also with --set train.epochs=0: train.epochs: found 0; " in line
    line = complaint(BASE + "shots: x", "train={epochs: 0}")
    assert "; also with --set train={epochs: 0}: train.epochs: found 0; " in line
    assert complaint(BASE + "shots: x", "train={epoch: 3}").startswith(
        "x.yaml with --set train={epoch: 3}: unknown key"
    )
    inside = complaint(BASE + "train: {warmup: 0.5}", "train.warmup_steps=5")
    assert inside.startswith("x.yaml with --set train.warmup_steps=5: train.warmup_steps: found 5;")
    mixed = complaint(BASE, "search.num_samples=1", "search.seeds=x")
    assert mixed.startswith("x.yaml with --set search.seeds=x: search.seeds")


def test_an_absent_key_has_the_line_of_its_section_and_a_bundled_space_no_line() -> None:
    assert complaint(BASE + "resources: {gpu: 1}").startswith("x.yaml:7: resources.cpu: found nothing")
    assert complaint(BASE.replace("name: x", "")).startswith("x.yaml: name: found nothing")
    with pytest.raises(InputError, match=r"^search_spaces/quickstart\.yaml with --set train\.epochs=0: train\.epochs"):
        load("quickstart", ["train.epochs=0"])


def test_later_checks_name_the_line_too() -> None:
    Path("x.yaml").write_text(BASE)
    space = load("x.yaml", ["train.epochs=3"])
    assert str(space.error("methods", "ft", "flyp")) == "x.yaml:5: methods: found 'ft'; expected flyp"
    assert space.where("search.space.lr") == "x.yaml:6"
    assert space.where("train.epochs") == "x.yaml with --set train.epochs=3"
    assert space.where("train.batch_size") == space.where("folder/of/images") == "x.yaml"


def test_three_errors_are_told_and_the_others_counted() -> None:
    line = complaint("name: x\ntrian: {}\n")
    assert line.startswith("x.yaml:2: unknown key 'trian'")
    assert line.count("; also ") == 2
    assert line.endswith("; and 2 more")


def test_a_misspelt_key_is_not_also_reported_as_missing() -> None:
    assert "; also " not in complaint(BASE.replace("methods:", "methds:"))


def test_neither_a_file_nor_a_bundled_space() -> None:
    with pytest.raises(InputError) as caught:
        load("quickstrt")
    line = str(caught.value)
    assert line.startswith("quickstrt: found no such file; expected a YAML file or one of the bundled search spaces: ")
    assert "fewshot_mnist" in line
    assert line.endswith("(did you mean 'quickstart'?)")


def test_a_directory_and_a_run_folder() -> None:
    Path("run").mkdir()
    with pytest.raises(InputError, match=r"^run: found a directory; expected a YAML file$"):
        load("run")
    Path("run/space.yaml").write_text(BASE)
    with pytest.raises(InputError, match=r"did you mean 'run/space\.yaml'"):
        load("run")


@pytest.mark.parametrize("name", ["", "\0", "a\nb", "x" * 5000])
def test_impossible_file_names(name: str) -> None:
    with pytest.raises(InputError) as caught:
        load(name)
    assert str(caught.value).isprintable()


def test_pydantic_does_not_show() -> None:
    for override in ("dataset=[3]", "shots=[[1]]", "model=[3]", "wise_ft.alphas=a", "train.templates=[1]"):
        assert "Input should" not in complaint(BASE, override)
        assert "<" not in complaint(BASE, override)


def test_later_checks_speak_the_same_way() -> None:
    error = space_error("x.yaml", "methods[1]", "flpy", "one of ft, flyp", " (did you mean 'flyp'?)")
    assert str(error) == "x.yaml: methods[1]: found 'flpy'; expected one of ft, flyp (did you mean 'flyp'?)"
    assert str(space_error("x\n", "a", {"b": [None, True]}, "c")) == "x\\n: a: found {b: [null, true]}; expected c"


def test_a_hyper_parameter_among_the_settings_is_shown_its_place() -> None:
    with pytest.raises(InputError, match=r"unknown key 'lr' in train; .*write it into search\.space"):
        load("quickstart", ["train.lr=0.1"])
