"""The whole protocol on rendered SST-2, 16 shots and 10 repeats, with a small ViT, against the baseline.

The data are those of `flyp-sweep data prepare rendered_sst2`, in rendered-sst2/ under --data-root; where there are none
the line is skipped. The weights are random, so the accuracies are those of chance: what is compared is the time, and
whether both sides find the same.
"""

from __future__ import annotations

import json

import small_vit
from measuring import Options, Report, Row, main, scratch
from whole_protocol import race

WHAT = "whole protocol, rendered SST-2, 16 shots, 10 repeats, small ViT"
SPACE = """
name: sst2
dataset: rendered_sst2
shots: {shots}
model: {{arch: {arch}, name: small-vit}}
methods: {methods}
train: {{epochs: {epochs}, batch_size: 32, warmup_steps: 0}}
search:
  algorithm: grid
  space: {{lr: {{choice: [0.0001, 0.001]}}, weight_decay: 0.1}}
  per_method: {per_method}
early_stopping: {{patience: 3}}
repeats: {{seeds: {repeats}}}
wise_ft: {{alphas: {alphas}, frontier: false}}
"""
WHOLE = {
    "shots": 16,
    "methods": "[zeroshot, lp, ft, flyp]",
    "per_method": "{lp: {l2: {choice: [0.001, 0.1]}}}",
    "epochs": 5,
    "repeats": 10,
    "alphas": 11,
}
CUT_DOWN = {"shots": 2, "methods": "[flyp]", "per_method": "{}", "epochs": 1, "repeats": 1, "alphas": 2}


def benchmark(options: Options) -> Report:
    root = options.data_root
    if root is None or not (root / "rendered-sst2").is_dir():
        return Report([Row(WHAT, "skipped", "", "", 0, "no rendered-sst2/ under --data-root")])
    with scratch() as folder:
        arch = json.dumps(small_vit.make(folder / "small-vit"))
        path = folder / "sst2.yaml"
        path.write_text(SPACE.format(arch=arch, **(CUT_DOWN if options.tiny else WHOLE)))
        return race(WHAT, path, root.resolve(), options, "--allow-incomplete")


if __name__ == "__main__":
    main(benchmark, __doc__)
