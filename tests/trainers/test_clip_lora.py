"""CLIP-LoRA's layers and loss against the plain formulas, and what it trains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from gradients import LABELS, a_batch, gradient_method, gradients, started
from torch import nn

from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods.clip_lora import Updated, UpdatedAttention, UpdatedLinear
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench

HPARAMS = {
    "lr": 1e-3,
    "weight_decay": 0.01,
    "lora_rank": 2,
    "lora_alpha": 1.0,
    "lora_dropout": 0.25,
    "lora_matrices": "qkv",
}


def task_of(bench: Bench, worker: Shared | None = None, **changes: Any) -> Task:
    return bench.task(bench.spec("clip_lora", templates=1, hparams={**HPARAMS, **changes}), worker)


def updated(kind: type[Updated], layer: nn.Module, parts: str, **changes: Any) -> Any:
    """`layer` in double precision with updates that are not zero."""
    made = kind(layer.double().requires_grad_(False), parts, {**HPARAMS, **changes}, torch.Generator().manual_seed(0))
    for number, update in enumerate(made.updates.children()):
        nn.init.normal_(update.up, generator=torch.Generator().manual_seed(number))  # type: ignore[arg-type]
    return made


def by_hand(weight: torch.Tensor, update: Any, scale: float, given: torch.Tensor, dropped: torch.Tensor) -> Any:
    return given @ weight.T + scale * dropped @ update.down.T @ update.up.T


def test_a_linear_layer_adds_its_updates_of_inputs_dropped_for_each() -> None:
    layer = updated(UpdatedLinear, nn.Linear(8, 12), "qkv", lora_matrices="qv", lora_alpha=3.0)
    given, scale = torch.randn(5, 7, 8, dtype=torch.double), 3 / 2**0.5
    q, k, v = layer.layer.weight.chunk(3)
    first, last = (by_hand(one, layer.updates[part], scale, given, given) for part, one in (("q", q), ("v", v)))
    plain = torch.cat([first, given @ k.T, last], dim=-1)
    assert set(layer.updates) == {"q", "v"}
    torch.testing.assert_close(layer.eval()(given), plain + layer.bias)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        found = layer.train()(given)
        torch.manual_seed(1)
        dropped = [F.dropout(given, 0.25) for _ in range(2)]
    first = by_hand(q, layer.updates["q"], scale, given, dropped[0])
    last = by_hand(v, layer.updates["v"], scale, given, dropped[1])
    torch.testing.assert_close(found, torch.cat([first, given @ k.T, last], dim=-1) + layer.bias)
    assert not torch.allclose(found, plain + layer.bias)


@pytest.mark.parametrize("mask", ["none", "causal", "of each head"])
@pytest.mark.parametrize("own", [True, False], ids=["of itself", "of others"])
def test_without_dropout_attention_in_training_is_torch_s_with_merged_weights(mask: str, own: bool) -> None:
    layer = updated(UpdatedAttention, nn.MultiheadAttention(8, 2, batch_first=True), "qkv", lora_dropout=0.0)
    query = torch.randn(3, 5, 8, dtype=torch.double)
    key, value = (query, query) if own else torch.randn(2, 3, 5, 8, dtype=torch.double)
    above = torch.full((5, 5), -torch.inf, dtype=torch.double).triu(1)
    masks = {"none": None, "causal": above, "of each head": torch.randn(6, 5, 5, dtype=torch.double)}
    merged = nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.double)
    merged.load_state_dict({**layer.layer.state_dict(), "in_proj_weight": layer.weight.detach()})
    wanted, _ = merged(query, key, value, need_weights=False, attn_mask=masks[mask])
    assert not torch.allclose(wanted, layer.layer(query, key, value, need_weights=False, attn_mask=masks[mask])[0])
    for mode in (True, False):
        found, _ = layer.train(mode)(query, key, value, need_weights=False, attn_mask=masks[mask])
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_its_loss_is_cross_entropy_over_prompts_by_both_encoders(bench: Bench, worker: Shared) -> None:
    task, method, batch = task_of(bench, worker), gradient_method("clip_lora"), a_batch()
    model: Any = started(method, task)
    images = F.normalize(model.visual(batch.images), dim=1)
    texts = model.encode_text(task.prompts[:, 0], normalize=True)
    plain = F.cross_entropy(model.logit_scale.exp() * images @ texts.T, LABELS)
    wanted = gradients(model, plain)
    found = method.loss(model, batch, task)
    torch.testing.assert_close(found, plain, rtol=1e-9, atol=0)
    assert {name.partition(".")[0] for name in wanted} == {"visual", "transformer"}
    assert {name.rpartition(".")[2] for name in wanted} == {"down", "up"}
    found_gradients = gradients(model, found)
    for name, value in wanted.items():
        torch.testing.assert_close(found_gradients[name], value, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("matrices", "rank"), [("qkv", 1), ("q", 2), ("kv", 3)])
def test_what_comes_out_differs_by_updates_of_that_rank_in_these_matrices(
    bench: Bench, worker: Shared, matrices: str, rank: int
) -> None:
    task, method = task_of(bench, worker, lora_matrices=matrices, lora_rank=rank), gradient_method("clip_lora")
    model = method.start(task)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if name.endswith(".up"):
                one.normal_(generator=torch.Generator().manual_seed(1))
    before, after = worker.pretrained.clip.state_dict(), method.export(dict(model.state_dict()), task)
    assert list(before) == list(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.endswith("in_proj_weight")}
    for name in changed:
        for part, block in zip("qkv", (after[name] - before[name]).chunk(3), strict=True):
            assert torch.linalg.matrix_rank(block, atol=1e-9) == (rank if part in matrices else 0)


def test_updates_start_as_the_authors_do_and_change_nothing_at_first(bench: Bench) -> None:
    task = task_of(bench, lora_rank=16)
    model: Any = gradient_method("clip_lora").start(task).eval()
    downs = [one for name, one in model.named_parameters() if name.endswith("down")]
    assert all(0.9 < one.abs().max().item() * one.shape[1] ** 0.5 <= 1 for one in downs)
    with torch.no_grad():
        torch.testing.assert_close(
            model.encode_text(task.prompts[:, 0]), bench.pretrained.clip.encode_text(task.prompts[:, 0])
        )
    assert {name for name, one in model.named_parameters() if one.requires_grad} == {
        name for name, _ in model.named_parameters() if name.endswith((".up", ".down"))
    }


def test_dropout_is_drawn_and_the_trial_s_own(bench: Bench) -> None:
    runs = [bench.spec("clip_lora", hparams={**HPARAMS, "lora_dropout": rate}) for rate in (0.5, 0.5, 0.0)]
    first, again, without = (bench.fit(one).report.curve for one in runs)
    assert first == again != without


def test_an_encoder_without_attention_is_told(bench: Bench, make_clip: Any, worker: Shared) -> None:
    method: Any = gradient_method("clip_lora")
    (note,) = method.notes(task_of(bench))
    assert "the image encoder of digits-clip has no attention, so it stays as pretrained" in note
    assert method.notes(task_of(bench, worker)) == []
    clip = worker.pretrained.clip
    clip.visual, clip.transformer = nn.Identity(), nn.Identity()
    with pytest.raises(TrialFailed, match="clip_lora: found no attention in digits-clip; expected some in an encoder"):
        method.start(task_of(bench, worker))
