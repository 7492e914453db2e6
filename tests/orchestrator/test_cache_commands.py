"""`flyp-sweep cache`, and what a sweep leaves there."""

from __future__ import annotations

from pathlib import Path

from commands import QUICK, call, numbers
from serial_engine import run_serially


def test_a_second_sweep_finds_what_the_first_one_computed_and_gets_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("FLYP_SWEEP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "quick.yaml").write_text(QUICK)
    short = ("search.num_samples=1", "repeats.seeds=1")
    assert run_serially("quick.yaml", *short, cwd=tmp_path)[0] == 0
    code, output = call("cache", "ls", cwd=tmp_path)
    assert code == 0
    assert "features  digits/id_test, 597 images, digits-clip" in output
    assert "head      digits, 10 classes x 8 templates, digits-clip" in output
    assert output.splitlines()[-1].endswith(f"of at most 50.0 GB, in {tmp_path / 'cache'}")
    written = {path: path.stat().st_ino for path in (tmp_path / "cache").glob("*.npy")}
    assert run_serially("quick.yaml", *short, cwd=tmp_path, out=Path("again"))[0] == 0
    assert {path: path.stat().st_ino for path in (tmp_path / "cache").glob("*.npy")} == written
    assert numbers(tmp_path / "again") == numbers(tmp_path / "runs/quick")
    assert "freed" in call("cache", "clear", cwd=tmp_path)[1]
    assert call("cache", "ls", cwd=tmp_path)[1].startswith("0 entries")


def test_a_cache_can_be_off_and_a_wrong_bound_is_one_line_before_the_start(tmp_path, monkeypatch):
    (tmp_path / "quick.yaml").write_text(QUICK)
    monkeypatch.setenv("FLYP_SWEEP_CACHE", "off")
    assert call("cache", "ls", cwd=tmp_path) == (0, "FLYP_SWEEP_CACHE=off: nothing is kept\n")
    monkeypatch.setenv("FLYP_SWEEP_CACHE_GB", "lots")
    code, output = call("run", "quick.yaml", cwd=tmp_path)
    assert code == 2
    assert output.count("\n") == 1
    assert "FLYP_SWEEP_CACHE_GB: found 'lots'; expected a number of gigabytes" in output
    assert not (tmp_path / "runs").exists()
