"""The memory of four workers against one, over the same data set: proportional shares of all processes of a sweep.

A page that several processes map counts once, in parts (PSS): what workers share is seen to be shared. The data are
made-up images, as many as make a copy per worker stand out. Linux alone tells such shares.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import open_clip
import psutil
import small_vit
from measuring import Options, Report, Row, alternate, main, scratch, under_way
from PIL import Image
from processes import family

SPACE = """
name: memory
dataset:
  name: noise
  folders: {{train: train, id_val: id_val, id_test: id_test}}
  templates: ["a photo of a {{}}."]
model: {{arch: "{arch}", name: small-vit}}
methods: [ft]
train: {{epochs: 1, batch_size: 32, warmup_steps: 0}}
search: {{algorithm: grid, space: {{lr: {{choice: [1.0e-5, 2.0e-5, 3.0e-5, 4.0e-5]}}, weight_decay: 0.1}}}}
repeats: {{seeds: 4}}
wise_ft: {{alphas: [1.0]}}
resources: {{cpu: {cpu}}}
"""
CLASSES = 2
IMAGES = {"train": 64, "id_val": 3000, "id_test": 3000}
WORKERS = 4


def benchmark(options: Options) -> Report:
    images = {name: min(count, 64) for name, count in IMAGES.items()} if options.tiny else IMAGES
    with scratch() as folder:
        write_images(folder / "data", images)
        arch = small_vit.make(folder / "small-vit")
        one, many = alternate(options.runs, lambda: peak(folder, arch, 1), lambda: peak(folder, arch, WORKERS))
    extra = (many.median - one.median) / (WORKERS - 1) / 2**20
    decoded = sum(images.values()) * 3 * small_vit.IMAGE_SIZE**2 / 2**20
    weights = sum(one.numel() for one in open_clip.CLIP(**small_vit.SHAPE).parameters()) * 4 / 2**20
    row = Row(
        f"memory of {WORKERS} workers, {decoded:.0f} MiB of decoded images",
        many.told("MiB", 1 / 2**20),
        f"{one.told('MiB', 1 / 2**20)}, one worker",
        f"{extra:.0f} MiB more per worker",
        options.runs,
        f"peak of the summed PSS of all processes; the model has {weights:.0f} MiB of weights",
    )
    return Report([row])


def write_images(root: Path, images: dict[str, int]) -> None:
    """Noise, in a folder per split and class."""
    rng, size = np.random.default_rng(0), small_vit.IMAGE_SIZE
    for split, count in images.items():
        for number in range(count):
            path = root / split / f"class{number % CLASSES}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(256, size=(size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path, compress_level=1)


def peak(folder: Path, arch: str, workers: int) -> float:
    """Bytes: the greatest sum of PSS over a sweep with so many workers."""
    cores, most = psutil.cpu_count() or 1, 0
    with scratch() as run:
        space = run / "memory.yaml"
        space.write_text(SPACE.format(arch=arch, cpu=cores / workers))
        with under_way(space, run / "runs" / "memory", "--data-root", folder / "data") as driver:
            while driver.poll() is None:
                most = max(most, sum(map(share, family(driver.pid))))
                time.sleep(0.5)
    return float(most)


def share(process: psutil.Process) -> int:
    """PSS in bytes."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return int(process.memory_full_info().pss)
    return 0


if __name__ == "__main__":
    main(benchmark, __doc__)
