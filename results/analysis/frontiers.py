"""The points of the ID-OOD frontier: what alpha in [0, 1] makes of ID and mean OOD performance."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from flyp_sweep.results.naming import ZEROSHOT, method_order
from flyp_sweep.results.statistics.intervals import mean_interval

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """One method's frontier, means over seeds, in percent.

    `points` has columns id and ood, indexed by ascending alpha, and holds the alphas that every seed was evaluated at.
    `chosen` and `finetuned` are (id, ood) at the alpha that each seed chose and at alpha = 1, None where not evaluated.
    `reach`, `chosen_reach` and `finetuned_reach` are the half widths of the 95% Student-t intervals of these means,
    each by itself: NaN or None below two seeds.
    """

    method: str
    label: str
    points: pd.DataFrame
    chosen: Point | None
    finetuned: Point | None
    reach: pd.DataFrame = field(default_factory=pd.DataFrame)
    chosen_reach: Point | None = None
    finetuned_reach: Point | None = None

    @property
    def is_full(self) -> bool:
        """Whether there are alphas between the chosen one and 1: else a line would claim what was not measured."""
        return len(self.points) > 2

    @property
    def has_reach(self) -> bool:
        """Whether there are intervals to draw."""
        if self.is_full:
            return not self.reach.empty and bool(self.reach.notna().all(axis=None))
        return any(reach is not None for _, reach in self.ends)

    @property
    def ends(self) -> tuple[tuple[Point | None, Point | None], ...]:
        """The chosen and the fine-tuned point, each with its reach."""
        return (self.chosen, self.chosen_reach), (self.finetuned, self.finetuned_reach)


@dataclass(frozen=True)
class Frontier:
    """The curves of one (dataset, model, shots) with what their axes hold; `zeroshot` is (id, ood) in percent."""

    dataset: str
    model: str
    shots: int | None
    curves: tuple[Curve, ...]
    zeroshot: Point | None
    id_label: str
    ood_label: str


def blocks_in(frame: pd.DataFrame) -> list[tuple[str, str, int | None]]:
    """The (dataset, model, shots) of a tidy frame, in its order."""
    keys = frame[["dataset", "model", "shots"]].drop_duplicates().itertuples(index=False)
    return [(str(key.dataset), str(key.model), None if pd.isna(key.shots) else int(key.shots)) for key in keys]


def select_block(frame: pd.DataFrame, dataset: str, model: str, shots: int | None) -> pd.DataFrame:
    """The rows that count for one frontier: primary ID-test and OOD numbers of the finished, selected repeats."""
    same_shots = frame["shots"].isna() if shots is None else frame["shots"].eq(shots).fillna(False)
    counts = frame["selected"] & frame["status"].eq("done") & frame["primary"] & frame["role"].isin(["id_test", "ood"])
    return frame[frame["dataset"].eq(dataset) & frame["model"].eq(model) & same_shots & counts]


def skip_reason(block: pd.DataFrame) -> str:
    """Why the rows of `select_block` make no frontier, or `""` when they do."""
    if block.empty:
        return "no repeat has finished yet"
    roles = set(block["role"])
    missing = [name for role, name in (("id_test", "an ID test split"), ("ood", "an OOD set")) if role not in roles]
    return f"a frontier needs {' and '.join(missing)}, and there is none" if missing else ""


def frontier_points(block: pd.DataFrame) -> Frontier:
    """The frontier of the rows of one `select_block` that `skip_reason` lets pass."""
    ((dataset, model, shots),) = blocks_in(block)
    pairs = _pairs(block)
    zeroshot = pairs[pairs["method"].eq(ZEROSHOT)]
    labels = dict(zip(block["method"], block["method_label"], strict=True))
    methods = sorted(set(pairs["method"]) - {ZEROSHOT}, key=method_order)
    return Frontier(
        dataset=dataset,
        model=model,
        shots=shots,
        curves=tuple(_curve(method, labels[method], pairs[pairs["method"].eq(method)]) for method in methods),
        zeroshot=_mean_point(zeroshot),
        id_label=f"ID test {_metric(block, 'id_test')} (%)",
        ood_label=_ood_label(block),
    )


def _pairs(block: pd.DataFrame) -> pd.DataFrame:
    """One row per trial and alpha: method, trial_id, alpha, chosen, id, ood (the mean over the OOD sets), in percent.

    A trial that lacks one of the OOD sets has no mean that could stand beside the others', and is left out.
    """
    keys = ["method", "trial_id", "alpha", "chosen"]
    by_role = block.assign(value=100 * block["value"]).groupby([*keys, "role"], sort=False)["value"]
    means, counts = by_role.mean().unstack("role"), by_role.count().unstack("role")
    n_ood = block.loc[block["role"].eq("ood"), "split"].nunique()
    return means[counts["ood"].eq(n_ood)].rename(columns={"id_test": "id"}).dropna().reset_index()


def _curve(method: str, label: str, pairs: pd.DataFrame) -> Curve:
    by_alpha = pairs.assign(alpha=pairs["alpha"].round(9)).groupby("alpha")
    everywhere = by_alpha["trial_id"].nunique().eq(pairs["trial_id"].nunique())
    chosen, finetuned = pairs[pairs["chosen"]], pairs[pairs["alpha"].round(9).eq(1.0)]
    return Curve(
        method=method,
        label=label,
        points=by_alpha[["id", "ood"]].mean()[everywhere],
        chosen=_mean_point(chosen),
        finetuned=_mean_point(finetuned),
        reach=by_alpha[["id", "ood"]].agg(_half_width)[everywhere],
        chosen_reach=_reach(chosen),
        finetuned_reach=_reach(finetuned),
    )


def _half_width(values: pd.Series) -> float:
    return mean_interval(values.tolist()).half_width


def _reach(pairs: pd.DataFrame) -> Point | None:
    return None if len(pairs) < 2 else (_half_width(pairs["id"]), _half_width(pairs["ood"]))


def _mean_point(pairs: pd.DataFrame) -> Point | None:
    return None if pairs.empty else (float(pairs["id"].mean()), float(pairs["ood"].mean()))


def _metric(block: pd.DataFrame, role: str) -> str:
    metrics = block.loc[block["role"].eq(role), "metric"].unique()
    return str(metrics[0]).replace("_", " ") if len(metrics) == 1 else "primary metric"


def _ood_label(block: pd.DataFrame) -> str:
    splits = block.loc[block["role"].eq("ood"), "split"].unique()
    name = f"OOD {splits[0]}" if len(splits) == 1 else "Mean OOD"
    return f"{name} {_metric(block, 'ood')} (%)"
