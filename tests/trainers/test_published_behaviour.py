"""Numbers that published code computes, as inputs and expected outputs: ours must not drift away from them.

The sources are FLYP (github.com/locuslab/FLYP), WiSE-FT, Tip-Adapter, WILDS and scikit-learn; their code does not stand
here. The numbers of zero-shot heads, trajectories, soups and CoOp come from no run of the authors' code: a separate
script computed them as the papers and the released scripts say, with torch's AdamW and open_clip's `encode_text`, in
double precision and without any code of this project. Crops are those of open_clip 3.3's own training transform.
Epoch selection as in FLYP's few-shot script is in `test_training.py`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gradients import gradient_method, worker_of
from open_clip.transform import PreprocessCfg
from PIL import Image
from spaces import space_with
from torch import nn

from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.checkpoints.checkpoint import Policy
from flyp_sweep.trainers.checkpoints.kept_fits import KeptFits
from flyp_sweep.trainers.data.images import CROP_TRIES, Preprocess, random_crop
from flyp_sweep.trainers.datasets.fmow import FMoW
from flyp_sweep.trainers.datasets.stanford_cars import ID_VAL, SEED
from flyp_sweep.trainers.ensembles import registry as ensembles
from flyp_sweep.trainers.ensembles.base import Members
from flyp_sweep.trainers.ensembles.wise_ft import interpolate
from flyp_sweep.trainers.evaluation.metrics import Scores, all_metrics
from flyp_sweep.trainers.methods import coop
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.flyp_masked import collisions
from flyp_sweep.trainers.methods.l2sp import squared_distance
from flyp_sweep.trainers.methods.logistic_regression import logistic_regression
from flyp_sweep.trainers.methods.tip_adapter import KeyValueCache
from flyp_sweep.trainers.models.objectives import contrastive_loss
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench, finish
from flyp_sweep.trainers.training.fitted import Fitted, report
from flyp_sweep.trainers.training.kept import packed
from flyp_sweep.trainers.training.loop import learning_rate

IMAGES = torch.tensor([[0.6, 0.8, 0.0], [1.0, 0.0, 0.0], [0.0, 0.6, 0.8], [0.8, 0.0, 0.6]], dtype=torch.float64)
TEXTS = torch.tensor([[0.8, 0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0], [0.8, 0.6, 0.0]], dtype=torch.float64)
SCALE = torch.tensor(10.0, dtype=torch.float64)


def test_flyp_s_loss() -> None:
    assert contrastive_loss(IMAGES, TEXTS, SCALE).item() == pytest.approx(1.615314745111831, abs=1e-12)


def test_flyp_s_loss_without_class_collisions() -> None:
    found = contrastive_loss(IMAGES, TEXTS, SCALE, collisions(torch.tensor([0, 1, 2, 0])))
    assert found.item() == pytest.approx(1.312336069150065, abs=1e-12)


def test_wise_ft_s_schedule() -> None:
    rates = [learning_rate(step, base=8.0, warmup_steps=4, total_steps=12) for step in range(12)]
    expected = [2.0, 4.0, 6.0, 8.0, 8.0, 7.695518, 6.828427, 5.530734, 4.0, 2.469266, 1.171573, 0.304482]
    assert rates == pytest.approx(expected, abs=1e-6)


def test_wise_ft_s_interpolation() -> None:
    mixed = interpolate({"w": torch.tensor([1.0, -2.0])}, {"w": torch.tensor([3.0, 2.0])}, 0.25)
    assert mixed["w"].tolist() == [1.5, -1.0]


def test_l2_sp_s_penalty() -> None:
    tuned, origin = nn.Linear(2, 1), nn.Linear(2, 1)
    for layer, weight, bias in ((tuned, [1.0, 2.0], 0.5), (origin, [0.0, 4.0], 1.0)):
        layer.weight.data, layer.bias.data = torch.tensor([weight]), torch.tensor([bias])
    assert squared_distance(tuned, origin).item() == 1 + 4 + 0.25


def test_tip_adapter_s_logits() -> None:
    keys = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], dtype=torch.float64)
    cache = KeyValueCache(10 * torch.eye(2, dtype=torch.float64), keys, torch.tensor([0, 0, 1]), 2.0, 5.5)
    logits = cache(torch.tensor([[0.6, 0.8], [1.0, 0.0]], dtype=torch.float64))
    expected = [[7.826643912649624, 8.665742167396159], [12.665742167396159, 0.008173542876928133]]
    assert logits.tolist() == [pytest.approx(row, abs=1e-12) for row in expected]


def test_wilds_metrics() -> None:
    labels, predictions = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 0, 2])
    found = all_metrics(predictions, labels, 4, groups=np.array([0, 0, 1, 1, -1, 1]))
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["macro_f1"] == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)  # the absent class 3 does not count
    assert found["worst_group_accuracy"] == pytest.approx(1 / 2)


def test_the_strength_of_a_linear_probe_is_scikit_learn_s_c() -> None:
    features = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [0.8, -0.6]])
    weight, bias = logistic_regression(features, torch.tensor([0, 0, 1, 1, 2, 2]), 3, l2=1 / (10.0 * 6))
    expected = [[2.031, 1.1113, -0.546], [-2.2249, 1.2744, 0.5228], [0.1939, -2.3857, 0.0232]]
    assert torch.cat([weight, bias[:, None]], dim=1).tolist() == [pytest.approx(row, abs=1e-4) for row in expected]


PROMPTS = (
    "satellite photo of a airport_hangar.",
    "aerial photo of a airport_hangar.",
    "satellite photo of an airport hangar.",
    "aerial photo of an airport hangar.",
    "satellite photo of a airport_hangar in asia.",
    "aerial photo of a airport_hangar in asia.",
    "satellite photo of a airport_hangar in africa.",
    "aerial photo of a airport_hangar in africa.",
    "satellite photo of a airport_hangar in the americas.",
    "aerial photo of a airport_hangar in the americas.",
    "satellite photo of a airport_hangar in europe.",
    "aerial photo of a airport_hangar in europe.",
    "satellite photo of a airport_hangar in oceania.",
    "aerial photo of a airport_hangar in oceania.",
    "a photo of a airport_hangar.",
    "airport_hangar.",
)


def test_fmow_s_prompts() -> None:
    assert tuple(template.format(FMoW.class_names[1]) for template in FMoW.templates) == PROMPTS


HELD_OUT = (1277, 4827, 4056, 1832, 2050, 3943, 7684, 462, 707, 5804, 1864, 1617, 1911, 7483, 7174, 2095, 4833)
"""Images of Stanford Cars in the list of validation images that FLYP's repository ships, of its first two classes."""


def test_stanford_cars_validation_images() -> None:
    held_out = np.random.RandomState(SEED).permutation(8144)[: round(ID_VAL * 8144)] + 1
    assert set(HELD_OUT) <= set(held_out.tolist())


PUBLISHED = {
    "imagenet": (1000, 80),
    "iwildcam": (182, 2),
    "fmow": (62, 16),
    "caltech101": (101, 34),
    "stanford_cars": (196, 8),
    "flowers102": (102, 1),
    "pcam": (2, 1),
    "rendered_sst2": (2, 1),
}
"""Data set -> classes and templates of FLYP's code."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_numbers_of_classes_and_prompts(name: str) -> None:
    dataset = datasets.make(name, Path("nowhere"))
    assert (len(dataset.class_names), len(dataset.templates)) == PUBLISHED[name]


@pytest.fixture
def fixed(bench: Bench, make_clip: Any) -> Shared:
    """A worker whose small CLIP has the same weights in every version of every library: NumPy froze `RandomState`."""
    clip = make_clip(image=32)
    with torch.no_grad():
        for seed, (name, parameter) in enumerate(sorted(clip.named_parameters())):
            noise = torch.from_numpy(np.random.RandomState(seed).randn(parameter.numel())).view(parameter.shape)
            is_norm = parameter.ndim == 1 and name.endswith(".weight")
            parameter.copy_(0.3 * noise + is_norm)
        clip.logit_scale.fill_(math.log(10))
    return worker_of(bench, clip)


# fmt: off
HEAD = [
    [-1.4538657, 3.8180152, 0.2281736, -1.4372095, 0.0375906, 0.0066323,
     4.0218667, 1.4869167, 0.9605179, -6.9026527, -3.7588438, -0.3247982],
    [-0.7972982, 2.1959994, 1.0265367, 0.8356862, -0.6220099, -0.4985447,
     2.2999738, 0.7641898, 5.0128078, -6.7352812, -3.9554269, 0.3778725],
    [-0.5577662, 3.1013223, 0.7720537, 0.665449, -0.7382953, -1.7047053,
     1.2535029, 1.6325586, 4.2360933, -7.2216628, -3.1638439, 1.1123768],
]
# fmt: on
"""The zero-shot head of three classes in four templates."""


def test_zero_shot_heads(bench: Bench, fixed: Shared) -> None:
    assert fixed.dataset.class_names == ("zero", "one", "two")
    assert len(fixed.dataset.templates) == 4
    found = bench.task(bench.spec("zeroshot"), fixed).zero_shot_head
    torch.testing.assert_close(found, torch.tensor(HEAD, dtype=torch.float64), rtol=0, atol=1e-6)


# fmt: off
TRAJECTORIES = {
    "flyp": (
        [3.762607456, 3.409038806, 3.161994298, 3.158656407, 3.131404901, 3.099155629, 3.083388947,
         3.070436437, 3.04284987, 2.990844729, 2.926560921, 2.869509608, 2.804554316, 2.729965527,
         2.678438683, 2.648068185, 2.623326206, 2.604490681, 2.592652863, 2.585663258, 2.582095007],
        (14 / 27, 1.406168875),
    ),
    "ft": (
        [2.105271262, 1.77645717, 1.195832212, 1.122937912, 1.193095914, 1.034445521, 0.872844436,
         0.835076705, 0.811760083, 0.742586835, 0.657895669, 0.581820361, 0.509680003, 0.440929973,
         0.384204829, 0.342177766, 0.311416671, 0.289205208, 0.273964156, 0.264627493, 0.260118193],
        (16 / 27, 1.004427301),
    ),
}
# fmt: on
"""Method -> losses of 21 steps, and accuracy and loss on the validation images after the last one."""


@pytest.mark.parametrize(("name", "grad_clip"), [("flyp", None), ("ft", 1.0)])
def test_a_training_of_21_steps(bench: Bench, fixed: Shared, name: str, grad_clip: float | None) -> None:
    """FLYP's and WiSE-FT's scripts, each step on all 24 images, which are not cropped, in one template."""
    losses, (accuracy, loss) = TRAJECTORIES[name]
    whole = {"batch_size": 24, "crop_scale": (1.0, 1.0), "templates": 1, "epochs": 21, "patience": None}
    hparams = {"lr": 5e-3, "weight_decay": 0.1}
    spec = bench.spec(name, hparams=hparams, warmup_steps=5, grad_clip=grad_clip, **whole)
    curve = bench.fit(spec, fixed).report.curve
    assert [point["train_loss"] for point in curve] == pytest.approx(losses, abs=1e-6)
    assert (curve[-1]["accuracy"], curve[-1]["loss"]) == pytest.approx((accuracy, loss), abs=1e-6)


# fmt: off
CROPS = {
    "the paper's": (
        (24, 18),
        (0.9, 1.0),
        [(0.6147, 0.381), (0.6371, 0.4745), (0.7136, 0.619), (0.4425, 0.0958), (0.6142, 0.0573), (0.5657, 0.5332),
         (0.3901, 0.9088, 0.5, 0.75)],
        (0, 1, 18, 23),
        [[133, 125, 123, 120], [139, 130, 129, 114], [133, 126, 129, 128], [126, 129, 122, 137]],
        [0.1493283, 0.4090216, 0.3541688],
    ),
    "CoOp's": (
        (24, 18),
        (0.08, 1.0),
        [(0.0043, 0.1056, 0.125, 0.375)],
        (1, 7, 7, 5),
        [[23, 68, 116, 161], [42, 87, 135, 180], [62, 107, 155, 200], [81, 126, 174, 219]],
        [-1.4564987, -0.5214601, 0.5248097],
    ),
    "none that fits": (
        (40, 10),
        (0.9, 1.0),
        [(0.4963, 0.7682), (0.0885, 0.132), (0.3074, 0.6341), (0.4901, 0.8964), (0.4556, 0.6323),
         (0.3489, 0.4017), (0.0223, 0.1689), (0.2939, 0.5185), (0.6977, 0.8), (0.161, 0.2823)],
        (0, 13, 10, 13),
        [[88, 143, 124, 110], [64, 166, 96, 140], [80, 164, 78, 175], [110, 171, 89, 179]],
        [-0.507601, -0.461429, 0.6527902],
    ),
}
# fmt: on
"""Width and height; share of the area; draws of (area, ratio, top, left) in [0, 1) that torch's generator made for
torchvision; then its crop, the red pixels of the view, and its first pixel as a model gets it."""


@pytest.mark.parametrize("kind", CROPS)
def test_random_resized_crops(make_clip: Any, kind: str) -> None:
    (width, height), scales, tries, box, red, first = CROPS[kind]
    y, x, channel = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    image = Image.fromarray(((37 * x + 11 * y + 59 * channel) % 256).astype(np.uint8))
    clip = make_clip()
    clip.visual.preprocess_cfg = vars(PreprocessCfg(4))
    wanted = Preprocess.of(clip)
    uniforms = [[*drawn, 0.0, 0.0][:4] for drawn in tries] + [[0.5] * 4] * (CROP_TRIES - len(tries))
    found = random_crop(width, height, uniforms, scales)
    assert found == box
    view = torch.from_numpy(np.array(wanted.crop(image, found)))[None]
    assert view[0, ..., 0].tolist() == red
    assert wanted.to_batch(view, torch.device("cpu"))[0, :, 0, 0].tolist() == pytest.approx(first, abs=1e-6)


# fmt: off
SOUPS = {
    "greedy_soup": (
        [(13, 1), (12, 0), (12, 0), (13, 1), (10, 0), (13, 1)],
        [-0.8984277, 6.0518491, -6.2683222, 0.1605944, -0.5721556, -3.7354404,
         1.6720862, 7.4429153, 3.4270505, -4.6802019, -0.5965786, 2.6926171],
    ),
    "greedy_soup_strict": (
        [(13, 1), (12, 0), (12, 0), (13, 0), (14, 1), (10, 0)],
        [-1.923686, 5.6504749, -1.4190855, 0.1888053, 1.6426664, -0.9954762,
         4.2049427, 4.6352694, -2.0311467, -1.3095066, -1.7524496, 4.0755798],
    ),
}
# fmt: on
"""Ensemble -> of every member, images of 27 that the soup with it gets right, and whether it is taken; then the soup's
head for the first class."""


@pytest.mark.parametrize("name", SOUPS)
def test_greedy_soups(bench: Bench, fixed: Shared, tmp_path: Path, name: str) -> None:
    """Six models that differ in their heads, each of 13 right: the paper's rule takes ties, its code's takes none."""
    seeds = (1944, 2698, 2776, 3086, 3098, 3760)
    ingredients = tuple({"lr": float(seed), "weight_decay": 0.0} for seed in seeds)
    spec = bench.repeat(f"ft+{name}", hparams={}, ingredients=ingredients)
    kept = KeptFits(space_with(methods=["ft"], ensembles={name: ["ft"]}), Policy(tmp_path), [name])
    task, method = Task(fixed, spec, kept=kept), gradient_method("ft")
    model = method.zero_shot(task)
    for seed, member in zip(seeds, spec.members, strict=True):
        noise = torch.from_numpy(np.random.RandomState(seed).randn(3, 12))
        scores = Scores({"accuracy": 0.0}, 0.0, "accuracy")
        trained = {**model.state_dict(), "head.weight": task.zero_shot_head + 5 * noise}
        fitted = Fitted(trained, scores, report(1, scores, 1, []), trained)
        assert kept.write(member, packed(fitted, method, replace(task, spec=member))) is None
    fitted = finish(ensembles()[name].combine(Members(method, task, model)))
    members, head = SOUPS[name]
    assert fitted.report.notes == []
    assert [(round(27 * point["accuracy"]), point["taken"]) for point in fitted.report.curve] == members
    assert fitted.state["head.weight"][0].tolist() == pytest.approx(head, abs=1e-6)


# fmt: off
COOP = {
    4: (
        1.667775393,
        [1.04651017, 0.86616529, 0.66159664, 0.50715343],
        [-1.2876837, 5.2605257, -0.9921478, -3.2603811, -1.0133539, -0.226605,
         3.2470074, 1.6252261, -2.9983652, -5.6460408, -1.8781842, -0.629363],
    ),
    16: (
        1.097003008,
        [0.0602769, 0.01470598, 0.01077103, 0.01251969, 0.10066179, 0.01529423, 0.03808963, 0.01003358,
         0.01560489, 0.01501221, 0.02941134, 0.0243676, 0.02971573, 0.01296824, 0.00162665, 0.04395817],
        [1.9802953, 4.2367193, 3.2510058, -1.9756906, -3.1583302, -3.196591,
         -3.92333, 2.3111825, -1.9384799, -2.5423033, -0.4570289, 3.5069982],
    ),
}
# fmt: on
"""Context vectors -> the loss on the 24 training images, the norm of its gradient at each vector, and the head for the
first class."""


@pytest.mark.parametrize("count", COOP)
def test_coop_s_prompts(bench: Bench, fixed: Shared, count: int) -> None:
    """Embeddings of [start, vectors, class name, full stop, end], as the authors' `PromptLearner` joins them."""
    loss, gradient, head = COOP[count]
    hparams = {"lr": 1e-2, "weight_decay": 0.0, "context_tokens": count}
    task, method = bench.task(bench.spec("coop", hparams=hparams), fixed), gradient_method("coop")
    tokens, places = coop.prompts(task)
    assert places.tolist() == list(range(1, 1 + count))
    rest = [[49406, 5848, 269, 49407], [49406, 637, 269, 49407], [49406, 1237, 269, 49407]]
    assert tokens[:, 0, [0, *range(1 + count, count + 4)]].tolist() == rest
    assert not tokens[:, 0, count + 4 :].any()
    context = nn.Parameter(torch.from_numpy(0.02 * np.random.RandomState(0).randn(count, 16)))
    (images,) = fixed.evaluation_batches(task.train)
    batch = Batch(images, torch.from_numpy(task.train.labels), np.random.default_rng(0))
    found = method.loss(nn.ParameterDict({"context": context}), batch, task)
    found.backward()
    assert context.grad is not None
    assert found.item() == pytest.approx(loss, abs=1e-6)
    assert context.grad.norm(dim=1).tolist() == pytest.approx(gradient, abs=1e-6)
    assert coop.head(context.detach(), task)[0].tolist() == pytest.approx(head, abs=1e-6)
