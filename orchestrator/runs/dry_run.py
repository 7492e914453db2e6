"""What a sweep would run, and what it costs in image passes."""

from __future__ import annotations

from collections.abc import Sequence

from flyp_sweep.orchestrator.protocol.algorithms import planned_configs, planned_searches, planned_trials
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.search_spaces.complaints import counted, show
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.roles import REPORTED


def describe(space: SearchSpace, plans: Sequence[CellPlan]) -> str:
    """Cells, trials and image passes of a sweep: at most, as if no trial stopped early."""
    lines = [f"{space.name}: {counted(len(plans), 'cell')}"]
    lines += [f"  {plan.cell.key}: {_trials(plan)}, {passes(plan):,} image passes" for plan in plans]
    lines += dict.fromkeys(f"  {drawn}" for drawn in map(_drawn, plans) if drawn)
    total = sum(map(planned_trials, plans))
    lines.append(f"{counted(total, 'trial')} and {sum(map(passes, plans)):,} image passes at most")
    return "\n".join(lines)


def _trials(plan: CellPlan) -> str:
    """E.g. `8 configurations x 1 seed searched, 5 repeats`, between these what the search begins with, then steps."""
    if plan.base is None:
        seeds = len(plan.search_seeds)
        searched = f"{counted(planned_configs(plan), 'configuration')} x {counted(seeds, 'seed')} searched"
        first = "".join(f", {'first' if at == 0 else 'then'} {show(dict(one))}" for at, one in enumerate(plan.first))
        steps = f", {counted(plan.steps, 'step')} per trial" if plan.method.trained else ""
        return f"{searched}{first}, {counted(len(plan.repeat_seeds), 'repeat')}{steps}"
    kind = "soup" if plan.is_soup else "ensemble"
    members = counted(planned_configs(plan.base), "configuration") if plan.is_soup else "a repeat"
    return f"{counted(len(plan.repeat_seeds), kind)} of {members} of {plan.base.cell.method}"


def _drawn(plan: CellPlan) -> str:
    """The images that a trial of a few-shot cell draws; nothing for other cells."""
    if plan.cell.shots is None:
        return ""
    train, id_val = plan.images["train"], plan.images["id_val"]
    drawn = f"{counted(train, 'training image')} and {counted(id_val, 'ID validation image')}"
    return f"each {plan.cell.shots}-shot trial of {plan.cell.dataset} draws {drawn}"


def passes(plan: CellPlan) -> int:
    """Images that go through the image encoder, forward or forward and backward, over all trials of a cell.

    A frozen encoder sees each image once, for its features are shared, but for the random crops that a method which is
    trained by gradients on images takes. Zero-shot results (alpha = 0) are shared too and counted with the `zeroshot`
    cell; `id_val` at alpha = 1 is known from training.
    """
    train, id_val, reported = _sizes(plan)
    if plan.method.frozen_encoder:
        takes_crops = plan.method.trained and not plan.method.on_features
        crops = plan.space.train.epochs * planned_trials(plan) if takes_crops else plan.method.seeded
        return train * crops * (plan.base is None) + id_val + reported
    fitting = plan.space.train.epochs * (train + id_val) + plan.space.early_stopping.include_start * id_val
    fitting = fitting if plan.method.trained else id_val
    if plan.base is not None and plan.ensemble is not None:  # made of weights that are there
        if not plan.ensemble.is_soup:  # one look at each image does for all alphas
            return len(plan.repeat_seeds) * (2 * id_val + reported)
        fitting = id_val * (planned_configs(plan.base) if plan.ensemble.tries_members else 1)
    alphas = [alpha for alpha in plan.space.wise_ft.grid if alpha > 0]
    at_the_end = len(alphas) if plan.space.wise_ft.frontier else min(2, len(alphas))
    repeat = fitting + (len(alphas) - 1) * id_val + at_the_end * reported
    return planned_searches(plan) * fitting + len(plan.repeat_seeds) * repeat


def _sizes(plan: CellPlan) -> tuple[int, int, int]:
    """Images to train on, to validate on, and to report: ID test, OOD validation and OOD."""
    roles = plan.images
    return roles.get("train", 0), roles.get("id_val", 0), sum(roles.get(role, 0) for role in REPORTED)
