"""The memory of a batch of 512 images in chunks of 32, against the whole: FLYP with the small ViT, on digits.

Measured is the growth of the process's resident memory over one gradient, at its peak, each side in fresh processes;
and the gradients of both sides are compared. Linux alone tells these peaks.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import small_vit
import torch
from measuring import Options, Report, Row, alternate, main, profiled, scratch
from safetensors.torch import load_file, save_file

from flyp_sweep.orchestrator.protocol.plan import plan
from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.trainers import datasets, methods
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.models import pretrained
from flyp_sweep.trainers.preflight import check
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.grad_cache import Gradients

BATCH, CHUNK = 512, 32


def benchmark(options: Options) -> Report:
    batch, chunk = (16, 4) if options.tiny else (BATCH, CHUNK)
    with scratch() as folder:
        arch = small_vit.make(folder / "small-vit")
        files = {size: folder / f"{size}.safetensors" for size in (chunk, batch)}
        chunked, whole = alternate(
            options.runs, *(lambda size=size: in_fresh_process(arch, batch, size, files[size]) for size in files)
        )  # type: ignore[misc]
        error = relative_error(load_file(files[chunk]), load_file(files[batch]))
        profiles = {}
        if options.profile:
            gradients, taken = step(arch, batch, chunk)
            profiles[f"a batch of {batch} in chunks of {chunk}"] = profiled(lambda: gradients.backward(taken))
    row = Row(
        f"peak memory of a batch of {batch} in chunks of {chunk}",
        chunked.told("MiB", 1 / 2**20),
        f"{whole.told('MiB', 1 / 2**20)}, the whole batch",
        f"1 / {whole.over(chunked).told('')}",
        options.runs,
        f"growth of resident memory over one gradient; gradients equal to {error:.1e} relative",
    )
    return Report([row], profiles)


def in_fresh_process(arch: str, batch: int, chunk: int, gradients: Path) -> float:
    """Bytes that one gradient takes at its peak; it is written to `gradients`."""
    command = [sys.executable, __file__, "--one", json.dumps([arch, batch, chunk, str(gradients)])]
    return float(subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout)


def one(arch: str, batch: int, chunk: int, path: str) -> None:
    """What the fresh process does: print the peak, write the gradients."""
    gradients, taken = step(arch, batch, chunk)
    forget_peak()
    before = status("VmRSS")
    gradients.backward(taken)
    print(status("VmHWM") - before)
    named = gradients.model.named_parameters()
    save_file({name: parameter.grad for name, parameter in named if parameter.grad is not None}, path)


def step(arch: str, batch: int, chunk: int) -> tuple[Gradients, Batch]:
    """All that the gradient of one batch needs, in place."""
    torch.set_num_threads(1)
    hparams = {"lr": 1e-5, "weight_decay": 0.1}
    space = from_mapping(
        {
            "name": "memory",
            "dataset": "digits",
            "model": {"arch": arch, "name": "small-vit"},
            "methods": ["flyp"],
            "train": {"batch_size": batch, "micro_batch": chunk},
            "search": {"algorithm": "grid", "space": hparams},
        }
    )
    cell = plan(space, check(space, Path("absent")))[0]
    dataset = datasets.make("digits", Path("absent"))
    device = torch.device("cpu")
    task = Task(Shared(pretrained.load(space.models[0], device), dataset, device), cell.search_trial(hparams, 0))
    method = methods.get("flyp")
    model = method.start(task).train()
    pictures = task.training_batches([np.arange(batch)], np.random.default_rng(0), 1)
    labels = torch.from_numpy(task.train.labels[:batch])
    task.prompts  # noqa: B018 - tokenised before the measurement, as in a trial's second step
    return Gradients(method, model, task), Batch(next(iter(pictures)), labels, np.random.default_rng(0))


def forget_peak() -> None:
    """Let the peak of resident memory begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def status(name: str) -> int:
    """A figure of this process's memory, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"/proc/self/status tells no {name}")


def relative_error(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The norm of the difference over all parameters, by that of `expected`."""
    if found.keys() != expected.keys():
        raise RuntimeError(f"gradients of {sorted(found.keys() ^ expected.keys())} on one side alone")
    apart = sum(float((found[name].double() - expected[name].double()).square().sum()) for name in expected)
    return (apart / sum(float(one.double().square().sum()) for one in expected.values())) ** 0.5


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(*json.loads(sys.argv[2]))
    else:
        main(benchmark, __doc__)
