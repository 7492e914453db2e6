from __future__ import annotations

import types

import pytest
from ledgers import typed

import flyp_sweep.results as results
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.search_spaces.errors import InputError


def test_the_layout_of_a_run_folder(tmp_path):
    run = RunFolder.create(tmp_path / "runs" / "digits", "name: digits\n")
    assert run.name == "digits"
    assert run.space.read_text() == "name: digits\n"
    paths = [run.space, run.ledger.path, run.results, run.tables, run.figures, run.report, run.running]
    names = ["space.yaml", "ledger.jsonl", "results.parquet", "tables", "figures", "report.html", "running"]
    assert [path.relative_to(run.path).as_posix() for path in paths] == names
    assert run.ledger.load() == []
    assert run.frame().empty


def test_records_and_frame_come_from_the_ledger(tmp_path, example):
    example.write(tmp_path, example.run())
    run = RunFolder(tmp_path)  # the ledger alone makes it a run folder
    assert run.ledger.load() == typed(example.run())
    assert set(run.frame()["method"]) == {"zeroshot", "ft", "flyp"}


def test_what_is_no_run_folder_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name, found in (("absent", "found nothing"), ("file", "found a file"), ("empty", "found neither space.yaml")):
        with pytest.raises(InputError, match=found) as caught:
            RunFolder(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_create_never_writes_over_what_is_there(tmp_path):
    RunFolder.create(tmp_path / "a", "name: first\n")
    with pytest.raises(InputError, match="found something there already"):
        RunFolder.create(tmp_path / "a", "name: second\n")
    assert (tmp_path / "a" / "space.yaml").read_text() == "name: first\n"


@pytest.mark.parametrize("name", results.__all__)
def test_every_exported_name_stays_itself_once_its_module_is_loaded(name):
    first = getattr(results, name)
    assert getattr(results, name) is first
    assert not isinstance(getattr(results, name), types.ModuleType)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = results.nothing
