"""CoOp's prompts against the plain formula, through open_clip's own towers on full-length prompts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import open_clip
import pytest
import torch
import torch.nn.functional as F
from gradients import a_batch, gradient_method
from torch import nn

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods.coop import head, words_of
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench

WORDS = "a photo of a"
TOWERS: list[dict[str, Any]] = [
    {},
    {"pool_type": "eos", "eos_id": 49407},
    {"no_causal_mask": True},
    {"kind": open_clip.CustomTextCLIP},
]


def task_of(bench: Bench, clip: Any, context_tokens: int = 4) -> Task:
    hparams = {"lr": 1e-2, "weight_decay": 0.0, "context_tokens": context_tokens}
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=clip))
    return bench.task(bench.spec("coop", hparams=hparams), worker)


def vectors_of(words: str, bench: Bench, clip: Any) -> torch.Tensor:
    tokens = bench.pretrained.tokenizer([words])[0, 1 : 1 + len(words.split())]
    return getattr(clip, "text", clip).token_embedding(tokens).detach()


@pytest.mark.parametrize("tower", TOWERS, ids=str)
def test_with_the_vectors_of_a_photo_of_a_its_head_is_that_of_these_words(
    bench: Bench, make_clip: Any, tower: dict[str, Any]
) -> None:
    clip = make_clip(**tower)
    task = task_of(bench, clip)
    found = head(vectors_of(WORDS, bench, clip), task)
    tokens = bench.pretrained.tokenizer([f"{WORDS} {name}." for name in task.shared.dataset.class_names])
    with torch.no_grad():
        expected = clip.logit_scale.exp() * clip.encode_text(tokens, normalize=True)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


def by_hand(clip: Any, context: torch.Tensor, names: tuple[str, ...], tokenizer: Any) -> torch.Tensor:
    """Head of `[V]_1 ... [V]_M name.`, a class at a time: `clip` is a plain one."""
    rows = []
    for name in names:
        tokens = tokenizer([f"{'the ' * len(context)}{name}."])
        words = clip.token_embedding(tokens)
        words = torch.cat([words[:, :1], context[None], words[:, 1 + len(context) :]], dim=1)
        hidden = clip.ln_final(clip.transformer(words + clip.positional_embedding, attn_mask=clip.attn_mask))
        rows.append(F.normalize(hidden[0, tokens[0].argmax()] @ clip.text_projection, dim=0))
    return clip.logit_scale.exp() * torch.stack(rows)


@pytest.mark.parametrize("count", [1, 16])
def test_its_loss_is_cross_entropy_and_its_gradient_reaches_the_context_alone(
    bench: Bench, make_clip: Any, count: int
) -> None:
    clip, method = make_clip(), gradient_method("coop")
    task = task_of(bench, clip, count)
    model: Any = method.start(task)
    batch = a_batch(torch.tensor([0, 2, 1, 0, 0]))
    loss = method.loss(model, batch, task)
    loss.backward()
    assert all(one.grad is None and one.requires_grad for one in clip.parameters())

    context = model["context"].detach().clone().requires_grad_()
    weights = by_hand(clip, context, task.shared.dataset.class_names, bench.pretrained.tokenizer)
    plain = F.cross_entropy(F.normalize(clip.visual(batch.images), dim=1) @ weights.T, batch.labels)
    (wanted,) = torch.autograd.grad(plain, [context])
    torch.testing.assert_close(loss, plain, rtol=1e-12, atol=0)
    torch.testing.assert_close(model["context"].grad, wanted, rtol=1e-9, atol=1e-12)
    assert wanted.abs().min() > 0
    assert [name for name, _ in model.named_parameters()] == ["context"]


def test_what_comes_out_is_the_head_of_the_learned_prompts_and_the_zero_shot_end_is_exact(bench: Bench) -> None:
    spec = bench.spec("coop", hparams={"lr": 0.02, "weight_decay": 0.0, "context_tokens": 4})
    task, method = bench.task(spec), methods.get("coop")
    zero_shot = method.zero_shot(task).state_dict()
    assert gradient_method("coop").start(task).state_dict()["context"].std() == pytest.approx(0.02, rel=0.1)
    assert torch.equal(zero_shot["weight"], task.zero_shot_head)
    fitted = bench.fit(spec, task.shared).state
    assert not fitted["bias"].any()
    lengths = fitted["weight"].norm(dim=1)
    torch.testing.assert_close(lengths, bench.pretrained.clip.logit_scale.detach().exp().expand(3))
    assert not torch.allclose(fitted["weight"], zero_shot["weight"], atol=1e-2)


@pytest.mark.parametrize("kind", [open_clip.CLIP, open_clip.CustomTextCLIP])
def test_prompts_that_the_text_encoder_would_cut_are_refused_in_a_line(bench: Bench, make_clip: Any, kind: Any) -> None:
    method: Any = methods.get("coop")
    longest = 77 - len(["<start>", "two", ".", "<end>"])
    task = task_of(bench, make_clip(kind), longest)
    assert head(method.start(task)["context"], task).shape == (3, 12)
    for count in (longest + 1, 200):
        task = task_of(bench, make_clip(kind), count)
        with pytest.raises(TrialFailed, match=rf"found {count}, .* 'zero' .* than the 77 tokens .*; expected") as no:
            head(method.start(task)["context"], task)
        assert "\n" not in str(no.value)


def test_a_text_encoder_of_another_library_is_refused_in_a_line() -> None:
    class BertModel(nn.Module):
        embeddings = nn.Embedding(2, 2)

    clip = nn.Module()
    clip.text = BertModel()
    with pytest.raises(TrialFailed, match=r"^found the text encoder BertModel; expected one of open_clip's own"):
        words_of(clip)
