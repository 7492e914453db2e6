"""A sweep on arrays of torchvision: `{torchvision: MNIST}` with the UCI digits in MNIST's files."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from commands import call
from serial_engine import run_serially

from flyp_sweep.trainers.datasets.digits import uci_digits

SPACE = """
name: own
dataset:
  torchvision: MNIST
  splits: {train: train, id_val: {from: train, fraction: 0.2}, id_test: test}
  class_names: [zero, one, two, three, four, five, six, seven, eight, nine]
  templates: ["a handwritten digit {}."]
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, ft]
train: {epochs: 1, batch_size: 32}
search: {algorithm: grid, space: {lr: {choice: [1.0e-4]}, weight_decay: {choice: [0.1]}}}
repeats: {seeds: 1}
wise_ft: {alphas: 2}
"""


@pytest.mark.slow
def test_arrays_of_torchvision_go_through_a_whole_sweep(tmp_path: Path) -> None:
    folder = tmp_path / "data/MNIST/raw"
    folder.mkdir(parents=True)
    pixels, labels = uci_digits()
    for part, rows in (("train", slice(0, 300)), ("t10k", slice(300, 500))):
        count, height, width = pixels[rows].shape
        head = struct.pack(">4I", 0x803, count, height, width)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + pixels[rows].tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2I", 0x801, count) + labels[rows].astype("u1").tobytes()
        )
    (tmp_path / "space.yaml").write_text(SPACE)
    code, output = call("data", "check", "space.yaml", "--root", "data", cwd=tmp_path)
    assert code == 0, output
    code, output = run_serially("space.yaml", cwd=tmp_path, data_root=tmp_path / "data")
    assert code == 0, output
    code, table = call("table", "runs/own", cwd=tmp_path)
    assert code == 0
    assert float(next(line for line in table.splitlines() if line.startswith("Zeroshot")).split()[1]) > 25
