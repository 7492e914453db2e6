"""The memory of four workers against one, over the same data set: proportional shares of all processes of a sweep.

A page that several processes map counts once, in parts (PSS): what workers share is seen to be shared. The data are
made-up images, as many as make a copy per worker stand out. Linux alone tells such shares.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import numpy as np
import open_clip
import psutil
import small_vit
from measuring import Options, Report, Row, alternate, environment, main, scratch, sweep_command
from PIL import Image
from processes import family
from resume import end

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
        profiles = {f"memory of {WORKERS} workers": told_processes(folder, arch)} if options.profile else {}
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
    return Report([row], profiles)


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
    return float(sum(watched(folder, arch, workers).values()))


def told_processes(folder: Path, arch: str) -> str:
    """Process by process at the peak, the largest first."""
    found = sorted(watched(folder, arch, WORKERS).items(), key=lambda item: -item[1])
    return "\n".join(f"{size / 2**20:8.0f} MiB  {name}" for name, size in found[:20])


def watched(folder: Path, arch: str, workers: int) -> dict[str, int]:
    """Process -> PSS in bytes, when their sum was greatest. Raises RuntimeError when the sweep does not end well."""
    cores = psutil.cpu_count() or 1
    with scratch() as run:
        space = run / "memory.yaml"
        space.write_text(SPACE.format(arch=arch, cpu=cores / workers))
        command = sweep_command(space, run / "runs" / "memory", "--data-root", folder / "data")
        with (run / "log").open("w") as log:
            driver = subprocess.Popen(
                command, env=environment(run / "runs" / "memory"), stdout=log, stderr=subprocess.STDOUT
            )
            try:
                most = watch(driver)
            finally:
                end(driver)
        if driver.returncode:
            raise RuntimeError((run / "log").read_text())
    return most


def watch(driver: subprocess.Popen[bytes]) -> dict[str, int]:
    """What `watched` tells, of a sweep under way."""
    most: dict[str, int] = {}
    while driver.poll() is None:
        now = shares(driver.pid)
        most = now if sum(now.values()) > sum(most.values()) else most
        time.sleep(0.5)
    return most


def shares(pid: int) -> dict[str, int]:
    """Process -> PSS in bytes, over all processes of a driver."""
    found = {}
    for process in family(pid):
        try:
            found[f"{process.pid} {' '.join(process.cmdline())[:80]}"] = process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


if __name__ == "__main__":
    main(benchmark, __doc__)
