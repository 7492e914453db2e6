"""Training in compiled code: the same model, up to rounding, and all that is done with it."""

from __future__ import annotations

import copy
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from spaces import space_with

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import Model, SearchSpace
from flyp_sweep.trainers import preflight
from flyp_sweep.trainers.checkpoints.checkpoint import Checkpoint, Policy
from flyp_sweep.trainers.models import compilation, pretrained
from flyp_sweep.trainers.runner import TrialRunner
from flyp_sweep.trainers.testing.bench import Bench

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SHAPE = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "head_width": 8, "layers": 0},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
ROUNDING = {"rtol": 1e-4, "atol": 1e-4}
METHODS = ["zeroshot", "lp", "ft", "l2sp", "lpft", "flyp"]

needs_compiler = pytest.mark.skipif(compilation.cpp_compiler() is None, reason="there is no C++ compiler")


@pytest.fixture(scope="module", autouse=True)
def _own_code(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Compiled here and now, not found on the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        yield
    torch.compiler.reset()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A ViT of no layer but its embedding, norms and projection: a compiler takes a second for each of its kernels."""
    folder = tmp_path_factory.mktemp("clip")
    preprocessing = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": SHAPE, "preprocess_cfg": preprocessing}))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        state = open_clip.CLIP(**SHAPE).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "open_clip_model.safetensors")
    return Model(arch=f"local-dir:{folder}")


@pytest.fixture(scope="module")
def eager(model: Model) -> pretrained.Pretrained:
    return pretrained.load(model, CPU)


@pytest.fixture(scope="module")
def compiled(model: Model) -> pretrained.Pretrained:
    return pretrained.load(model, CPU, compiled=True)


@pytest.fixture
def graphs() -> Any:
    """A function that tells how many graphs were compiled since the test began, which finds none of other tests."""
    torch.compiler.reset()
    seen = torch._dynamo.utils.counters["stats"]
    before = seen["unique_graphs"]
    return lambda: seen["unique_graphs"] - before


@pytest.mark.parametrize("layers", [1, None])
def test_an_encoder_with_attention_and_the_shipped_one_are_one_graph_each(bench: Bench, layers: int | None) -> None:
    """Python between two graphs is a failure; nothing is compiled, which takes the kernels of attention minutes."""
    if layers is None:
        visual, size = bench.pretrained.clip.visual, 32
    else:
        shape = {**SHAPE, "vision_cfg": {**SHAPE["vision_cfg"], "layers": layers}}
        with torch.random.fork_rng():
            visual, size = open_clip.CLIP(**shape).visual, 16
    visual = copy.deepcopy(visual).train()
    images = torch.rand(4, 3, size, size)
    whole: Any = torch.compile(type(visual).forward, dynamic=False, fullgraph=True, backend="eager")
    torch.testing.assert_close(whole(visual, images), visual(images))


def space(model: Model, **train: Any) -> SearchSpace:
    search = {"num_samples": 1, "space": {"lr": 1e-3, "weight_decay": 0.1, "l2sp_strength": 0.01}}
    return space_with(model=model.model_dump(), methods=METHODS, shots=1, search=search, train=train)


def trained(visual: torch.nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Outputs in training mode, and gradients by all weights."""
    outputs = visual.train()(images)
    weights = list(visual.parameters())
    return outputs.detach(), list(torch.autograd.grad(outputs.square().sum(), weights, allow_unused=True))


@needs_compiler
def test_outputs_and_gradients_are_those_of_the_model_as_it_is_and_a_copy_has_the_same_code_and_its_own_weights(
    eager: pretrained.Pretrained, compiled: pretrained.Pretrained, graphs: Any
) -> None:
    batch = torch.rand(10, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = trained(copy.deepcopy(eager.clip.visual), batch)
    assert graphs() == 0
    first = trained(copy.deepcopy(compiled.clip.visual), batch)
    assert graphs() == 1
    torch.testing.assert_close(first, expected, **ROUNDING)
    other, plain = copy.deepcopy(compiled.clip.visual), copy.deepcopy(eager.clip.visual)
    state = {name: tensor + 0.1 for name, tensor in plain.state_dict().items()}
    for one in (other, plain):
        one.load_state_dict(state)
    found = trained(other, batch)
    torch.testing.assert_close(found, trained(plain, batch), **ROUNDING)
    assert not torch.allclose(found[0], first[0], atol=1e-2)
    assert graphs() == 1


def test_what_is_not_trained_is_left_alone(
    bench: Bench, eager: pretrained.Pretrained, compiled: pretrained.Pretrained, graphs: Any
) -> None:
    assert bench.same(eager.clip.state_dict(), compiled.clip.state_dict())
    assert eager.digest == compiled.digest
    batch = torch.rand(7, 3, 16, 16)
    assert torch.equal(compiled.clip.visual(batch), eager.clip.visual(batch))
    assert graphs() == 0


@needs_compiler
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_and_comes_near(
    bench: Bench, eager: pretrained.Pretrained, compiled: pretrained.Pretrained, method: str
) -> None:
    """Batches of 10, 10 and 4, and all alphas."""
    spec = bench.repeat(method)
    plain = bench.run(spec, bench.worker(pretrained=eager))
    first, second = (bench.run(replace(spec, compile=True), bench.worker(pretrained=compiled)) for _ in range(2))
    assert first == second
    assert [one.alpha for one in first.evaluations] == [one.alpha for one in plain.evaluations]
    assert first.loss == pytest.approx(plain.loss, rel=1e-3)
    if method in ("zeroshot", "lp"):
        assert first == plain


@needs_compiler
@pytest.mark.parametrize(
    ("changes", "compiled"),
    [
        ({"micro_batch": 4}, 2),  # without gradients, then with them
        ({"batch_size": 4, "precision": "bf16"}, 1),
    ],
)
def test_micro_batches_and_bfloat16(bench: Bench, model: Model, graphs: Any, changes: Any, compiled: int) -> None:
    spec = bench.spec("flyp", shots=4, **{"batch_size": 12, **changes})
    plain, found = (
        bench.fit(replace(spec, compile=on), bench.worker(pretrained=pretrained.load(model, CPU, spec.precision, on)))
        for on in (False, True)
    )
    assert graphs() == compiled
    assert found.state.keys() == plain.state.keys()
    assert found.scores.loss == pytest.approx(plain.scores.loss, rel=1e-2)


@needs_compiler
def test_a_trial_goes_on_from_its_checkpoint_with_the_same_bits(model: Model, bench: Bench, tmp_path: Path) -> None:
    cell = next(cell for cell in space(model).cells() if cell.method == "ft")
    spec = replace(bench.repeat("ft", shots=1, epochs=3, compile=True), cell=cell)

    def runner() -> TrialRunner:
        """One that finds nothing in memory, as in a fresh process."""
        torch.compiler.reset()
        return TrialRunner(space(model, compile=True), Path("absent"), CPU)

    undisturbed = runner().result(spec)
    policy = Policy(tmp_path, every_seconds=0)
    for _ in itertools.islice(runner().run(spec, Checkpoint(policy, spec.trial_id)), 2):
        pass
    checkpoint = Checkpoint(policy, spec.trial_id)
    running = runner().run(spec, checkpoint)
    assert next(running).epoch == 3
    assert checkpoint.trouble is None
    with pytest.raises(StopIteration) as end:
        next(running)
    assert end.value.value == undisturbed


def test_without_a_compiler_it_is_refused(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError) as no:
        preflight.check(space(model, compile=True), Path("data"))
    assert preflight.check(space(model), Path("data"))
    line = str(no.value)
    assert line.startswith("my.yaml: train.compile: found true; expected false without a C++ compiler")
    assert line.isprintable()
