"""Methods, ensembles and data sets of other packages: found by their entry points, or refused in one line."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packages import OUTSIDE, install, install_outside

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers import ensembles, plugins
from flyp_sweep.trainers.datasets import Dataset
from flyp_sweep.trainers.ensembles import Ensemble
from flyp_sweep.trainers.methods import Method
from flyp_sweep.trainers.testing.ensemble_contract import EnsembleContract
from flyp_sweep.trainers.testing.method_contract import MethodContract

if TYPE_CHECKING:
    from types import ModuleType


def module_of(name: str) -> ModuleType:
    found = importlib.util.spec_from_file_location(name, OUTSIDE / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


class TestTheReadmesExample(MethodContract):
    @pytest.fixture
    def method(self) -> Method:
        return module_of("distilled").Distilled()

    @pytest.fixture
    def hparams(self) -> Mapping[str, float]:
        return {"pull": 0.5}


class TestTheDocsExample(EnsembleContract):
    @pytest.fixture
    def ensemble(self) -> Ensemble:
        return module_of("surest").Surest()


def test_what_other_packages_bring_is_found_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_outside(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (method,) = plugins.loaded(plugins.METHODS, Method, {"ft": None}).values()  # type: ignore[type-abstract]
    (ensemble,) = plugins.loaded(plugins.ENSEMBLES, Ensemble, {}).values()  # type: ignore[type-abstract]
    (dataset,) = plugins.loaded(plugins.DATASETS, Dataset, {}).values()  # type: ignore[type-abstract]
    assert (method.name, ensemble.name, dataset.name) == ("distilled", "surest", "upright")
    assert plugins.origins(plugins.METHODS) == {"distilled": "robust-things 1.0"}


REFUSED = {
    "a name of this package's": (
        {"a": {"ft": "distilled:Distilled"}},
        "found 'ft' in flyp-sweep itself and in a 1.0",
    ),
    "one name twice": (
        {"a": {"distilled": "distilled:Distilled"}, "b": {"distilled": "distilled:Distilled"}},
        r"found 'distilled' in a 1.0 and in b 1.0; expected every name once",
    ),
    "no such module": ({"a": {"x": "absent:X"}}, r"'x' of a 1.0: absent:X cannot be imported \(ModuleNotFoundError"),
    "no such class": ({"a": {"x": "distilled:X"}}, r"distilled:X cannot be imported \(AttributeError"),
    "a module that breaks": (
        {"a": {"x": "broken:X"}},
        r"\(ZeroDivisionError: .*; repair or uninstall",
    ),
    "no method": ({"a": {"upright": "upright:Upright"}}, r"found upright:Upright; expected a subclass of Method"),
    "an unfinished method": (
        {"a": {"x": "flyp_sweep.trainers.methods.base:Method"}},
        "expected a subclass of Method without abstract methods",
    ),
    "another name": ({"a": {"x": "distilled:Distilled"}}, "its class has the name 'distilled'; expected that of"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_taken_is_refused_in_one_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages, message = REFUSED[kind]
    site = tmp_path / "site"
    site.mkdir()
    for module in ("distilled", "upright"):
        (site / f"{module}.py").write_text((OUTSIDE / f"{module}.py").read_text())
    (site / "broken.py").write_text("1 / 0")
    for name, points in packages.items():
        install(site, name, {plugins.METHODS: points})
    monkeypatch.syspath_prepend(str(site))
    with pytest.raises(InputError, match=message) as refused:
        plugins.loaded(plugins.METHODS, Method, {"ft": None})  # type: ignore[type-abstract]
    assert "\n" not in str(refused.value)


NAMED = {
    "no_such:Thing": r"ensembles: 'no_such:Thing' cannot be imported \(No module named 'no_such'\); expected 'module",
    "math:pi": "ensembles: 'math:pi' is not a subclass of flyp_sweep.Ensemble",
    "flyp_sweep.trainers.ensembles.base:Mixture": "lacks mixed; define all of these",
    "flyp_sweep.trainers.methods.ft:FineTuning": "is not a subclass of flyp_sweep.Ensemble",
}


@pytest.mark.parametrize("name", NAMED)
def test_a_class_that_is_no_ensemble_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match=NAMED[name]) as refused:
        ensembles.get(name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("page", "example"), [("docs/own-methods.md", "distilled"), ("docs/ensembles.md", "surest")])
def test_the_docs_show_these_examples_as_they_are(page: str, example: str) -> None:
    assert (OUTSIDE / f"{example}.py").read_text() in (Path(__file__).parents[2] / page).read_text()
