"""Where modules that a search space names are looked for, and that this is no part of the search space's identity."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path

import pytest

from flyp_sweep.search_spaces import InputError, SearchSpace, dump, from_mapping, load
from flyp_sweep.search_spaces.plugin_path import find_plugins, search_last

TEXT = """
name: mine
dataset: digits
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, METHOD]
search: {algorithm: random, num_samples: 1}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of YAML files; the working folder is another."""
    (tmp_path / "work").mkdir()
    (tmp_path / "spaces").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path / "spaces"


def space_with(method: str, folder: Path) -> SearchSpace:
    (folder / "mine.yaml").write_text(TEXT.replace("METHOD", f"'{method}'"))
    return load(Path("../spaces/mine.yaml"))


def test_the_file_s_folder_comes_before_the_working_folder(folder: Path) -> None:
    work = str(folder.parent / "work")
    assert space_with("ft", folder).plugin_folders == (str(folder), work)
    assert load("quickstart").plugin_folders == (work,)
    (folder.parent / "work" / "here.yaml").write_text(TEXT.replace("METHOD", "ft"))
    assert load("here.yaml").plugin_folders == (work,)


def test_the_folders_are_no_part_of_the_settings(folder: Path) -> None:
    space = space_with("ft", folder)
    other = from_mapping(space.model_dump(mode="json", exclude_none=True))
    assert other.plugin_folders == ()
    assert (space, dump(space)) == (other, dump(other))
    assert pickle.loads(pickle.dumps(space)).plugin_folders == space.plugin_folders
    assert space.ensembling({"greedy_soup": ("ft",)}).plugin_folders == space.plugin_folders


def test_a_module_earlier_on_the_path_is_taken_and_the_path_left_alone_where_none_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = folder.parent / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    for place in (site, folder, folder.parent / "work"):
        (place / "in_three_places.py").write_text(f"PLACE = {place.name!r}")
    before = [*sys.path]
    find_plugins(space_with("ft", folder))
    assert sys.path == before
    space = space_with("in_three_places:Mine", folder)
    find_plugins(space)
    assert sys.path == [*before, *space.plugin_folders]
    assert importlib.import_module("in_three_places").PLACE == "site"
    search_last(space.plugin_folders)
    assert sys.path == [*before, *space.plugin_folders], "each folder once"


def test_a_module_that_is_nowhere_is_refused_with_the_places(folder: Path) -> None:
    with pytest.raises(InputError, match=r"methods: found 'nowhere\.deep:Mine'; expected its module 'nowhere'") as no:
        find_plugins(space_with("nowhere.deep:Mine", folder))
    assert str(no.value).endswith(f"on the Python path, in {folder} or in {folder.parent / 'work'}")
    (folder / "mine.yaml").write_text(TEXT.replace("METHOD", "ft") + "ensembles: ['nowhere:Soup']")
    with pytest.raises(InputError, match=r"ensembles: found 'nowhere:Soup'; expected its module 'nowhere' on the"):
        find_plugins(load(folder / "mine.yaml"))
