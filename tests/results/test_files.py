from __future__ import annotations

from pathlib import Path

import pytest

from flyp_sweep.results.files import UnwritableError, write


def test_texts_and_bytes_are_written_into_new_folders(tmp_path):
    write(tmp_path / "a/b/text", "é\n")
    write(tmp_path / "a/bytes", b"\x00")
    assert (tmp_path / "a/b/text").read_bytes() == "é\n".encode()
    assert (tmp_path / "a/bytes").read_bytes() == b"\x00"


def test_a_folder_in_the_way_a_file_above_and_a_full_disk_are_told(tmp_path):
    with pytest.raises(UnwritableError, match=r"cannot be written \(Is a directory\), expected room"):
        write(tmp_path, "x")
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableError, match=r"below: cannot be written \(File exists: .*file\)"):
        write(tmp_path / "file/below", "x")
    if Path("/dev/full").exists():
        with pytest.raises(UnwritableError, match=r"/dev/full: cannot be written \(No space left on device\)"):
            write(Path("/dev/full"), "x")
