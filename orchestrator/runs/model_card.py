"""The model card of an exported folder, in Hugging Face's form: `README.md`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from huggingface_hub import EvalResult, ModelCardData

from flyp_sweep.orchestrator.runs.chosen import Chosen
from flyp_sweep.results.ledger.best_repeat import best_repeat
from flyp_sweep.results.ledger.schema import SplitRecord, TrialRecord, same_alpha
from flyp_sweep.results.naming import ZEROSHOT, method_label, shots_label
from flyp_sweep.results.statistics import Interval, mean_interval
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.model import Model
from flyp_sweep.search_spaces.roles import TITLES
from flyp_sweep.trainers.exporting.folder import Export
from flyp_sweep.trainers.models import weights

MOST_CLASSES = 20


@dataclass(frozen=True)
class Row:
    """A split's primary metric: of this model, None at an alpha that the run has not evaluated; and over seeds."""

    split: str
    role: str
    metric: str
    own: float | None
    cell: Interval


def model_card(chosen: Chosen, made: Export) -> str:
    """The card of the model that was chosen and `made`: YAML for the hub, then text for readers."""
    rows = list(_rows(chosen))
    return "\n".join(["---", _data(chosen, made.model, rows), "---", *_text(chosen, made, rows)]) + "\n"


def _data(chosen: Chosen, model: Model, rows: Iterable[Row]) -> str:
    """The YAML."""
    title = _title(chosen)
    results = [
        EvalResult(
            task_type="image-classification",
            dataset_type=chosen.cell.dataset,
            dataset_name=chosen.cell.dataset,
            dataset_split=row.split,
            metric_type=row.metric,
            metric_value=row.own,
            metric_name=f"{row.metric} ({TITLES[row.role]})",
        )
        for row in rows
        if row.own is not None and row.role != "id_val"
    ]
    repositories = [file.repo for file in weights.wanted(model)]
    data = ModelCardData(
        library_name="open_clip",
        pipeline_tag="image-classification",
        tags=["clip", "flyp-sweep", chosen.cell.method],
        base_model=repositories[0] if repositories else None,
        model_name=title,
        eval_results=results or None,
    )
    return data.to_yaml().strip()


def _title(chosen: Chosen) -> str:
    cell = chosen.cell
    label = chosen.selection.label or method_label(cell.method, {})
    shots = "" if cell.shots is None else f", {shots_label(cell.shots)}"
    return f"{label} on {cell.dataset}{shots}"


def _text(chosen: Chosen, made: Export, rows: list[Row]) -> Iterator[str]:
    yield f"# {_title(chosen)}"
    yield f"\nA classifier of images into {len(made.labels)} classes, made from `{chosen.cell.model}` by flyp-sweep."
    yield "\n## Use\n\nPlain open_clip predicts with this folder. On a machine like the trial's, with the"
    yield "versions below, the logits are those of the trial, to the bit."
    yield f"\n```python\n{made.snippet}```\n"
    yield from _about_images(made)
    yield "With flyp-sweep installed: `flyp-sweep predict DIR IMAGES... -o FILE.csv`."
    yield "\n| file | content |\n|---|---|"
    yield "| `open_clip_model.safetensors`, `open_clip_config.json` | both towers and the preprocessing |"
    yield f"| `head.safetensors` | {_head(made)} |"
    yield "| `labels.json` | the class names, in the order of the logits |"
    yield f"| `prompts.json` | the templates, and the prompts of each class{_learned(chosen)} |"
    yield "\n## Scores\n"
    yield from _table(chosen, rows)
    yield "\n## How it was made\n"
    for name, value in _protocol(chosen, made).items():
        yield f"- **{name}**: {value}"
    shown = ", ".join(made.labels[:MOST_CLASSES]) + (", ..." if len(made.labels) > MOST_CLASSES else "")
    yield f"- **Classes**: {shown}"


def _about_images(made: Export) -> Iterator[str]:
    facts = made.facts
    if facts.shown_as == "viewer":
        yield (
            "The trial saw images as a viewer shows them: upright by their EXIF data, on white where transparent, deep "
            "pixels scaled to 8 bits. For such files `flyp-sweep predict` does the same; the lines above do not.\n"
        )
    if facts.border:
        yield f"The data set cuts {facts.border} pixels off each side of its files. `flyp-sweep predict` does so too.\n"
    if facts.decoding:
        yield f"The data set changes the pixels of its files ({facts.decoding}): prepare your images the same way.\n"


def _head(made: Export) -> str:
    told = ["`weight` [C, D]"]
    told += ["`bias` [C]"] if made.portable.bias is not None else []
    votes = ", and the votes of training images: `cache_keys` [N, D], `cache_labels`, `cache_weight`, `cache_sharpness`"
    adapter = ", and an adapter of these features: `adapter_down` [H, D], `adapter_up` [D, H], `adapter_ratio`"
    over = " over the L2-normalised image features; the logit scale is contained in `weight`"
    more = (votes if made.portable.votes is not None else "") + (adapter if made.portable.adapter is not None else "")
    return f"{', '.join(told)}{over}{more}"


def _learned(chosen: Chosen) -> str:
    told = "; CoOp's learned vectors stand in front of the names instead, and the head contains them"
    return told if chosen.cell.base.method == "coop" else ""


def _table(chosen: Chosen, rows: list[Row]) -> Iterator[str]:
    n = len(chosen.repeats)
    at = "each at the alpha that it chose" if chosen.alpha_was_chosen else f"at alpha = {chosen.alpha:g}"
    over = f"mean over {counted(n, 'seed')} (95% interval)"
    yield f"| split | role | metric | this model | {over} |\n|---|---|---|--:|--:|"
    for row in rows:
        own = "-" if row.own is None else f"{100 * row.own:.2f}"
        yield f"| {row.split} | {TITLES[row.role]} | {row.metric} | {own} | {_interval(row.cell)} |"
    yield (
        f"\nIn %. The last column covers all finished repeats of the configuration, {at}, with Student-t intervals. "
        "A dash stands for an alpha that the run has not evaluated, or for the interval of one seed."
    )


def _interval(found: Interval) -> str:
    if not found.n:
        return "-"
    ends = f"{100 * found.low:.2f} to {100 * found.high:.2f}" if found.n > 1 else "-"
    return f"{100 * found.mean:.2f} ({ends})"


def _protocol(chosen: Chosen, made: Export) -> dict[str, str]:
    record, selection, machine = chosen.record, chosen.selection, chosen.record.machine or {}
    told = record.settings
    by = f"{selection.metric or record.metric} on `{selection.split}`"
    search = f"best of {counted(selection.configs, 'configuration')} by {by}" if selection.configs else "no search"
    epoch = f"; the same data chose epoch {record.best_epoch}" if (record.epochs or 0) > 1 else ""
    how = "chosen on ID validation data" if chosen.alpha_was_chosen else "given by the user"
    settings = {name: value for name, value in told.items() if name not in ("splits", "data", "ingredients")}
    alpha = f"{chosen.alpha:g}, {how}: weights = alpha * fine-tuned + (1 - alpha) * zero-shot (WiSE-FT)"
    if chosen.cell.method == ZEROSHOT:
        alpha = "0, the zero-shot model"
    is_best = len(chosen.repeats) > 1 and best_repeat(chosen.repeats) == record
    best = "; the repeat of best score on ID validation data" if is_best else ""
    where = machine.get("gpu") or machine.get("cpu") or "an unknown machine"
    return {
        "Pretrained model": f"`{chosen.cell.model}`, weights `{told.get('weights', '')}`",
        "Data": f"`{chosen.cell.dataset}`, {shots_label(chosen.cell.shots)} training set, content `{told.get('data')}`",
        "Method": f"`{chosen.cell.method}`",
        "Hyper-parameters": f"`{json.dumps(dict(record.hparams))}`",
        "Settings": f"`{json.dumps(settings)}`",
        "Selection": f"{search}{epoch}. No test or OOD number entered a choice",
        "Alpha": alpha,
        "Seed": f"{record.seed}, of {', '.join(str(one.seed) for one in chosen.repeats)}{best}",
        "Trial": f"`{record.trial_id}` of run `{chosen.run.name}`",
        "Computed on": f"{where}, {counted(made.facts.threads, 'thread')}, {made.facts.precision}, batches of "
        f"{made.facts.batch}",
        "Versions": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
    }


def _rows(chosen: Chosen) -> Iterator[Row]:
    own = {one.split: one for one in _splits(chosen, chosen.record, chosen.alpha)}
    at = [(one, one.chosen_alpha if chosen.alpha_was_chosen else chosen.alpha) for one in chosen.repeats]
    over_seeds = [{one.split: one for one in _splits(chosen, record, alpha)} for record, alpha in at]
    named = dict.fromkeys(name for found in (own, *over_seeds) for name in found)
    for name in named:
        found = [splits[name] for splits in over_seeds if name in splits]
        one = own.get(name) or found[0]
        values = [float(split.metrics[one.primary]) for split in found if one.primary in split.metrics]
        mine = float(own[name].metrics[one.primary]) if name in own else None
        yield Row(name, one.role, one.primary, mine, mean_interval(values))


def _splits(chosen: Chosen, record: TrialRecord, alpha: float | None) -> list[SplitRecord]:
    """What a repeat has at an alpha, on id_val and on the splits whose numbers count for the cell."""
    found = [at.splits for at in record.evaluations if alpha is not None and same_alpha(at.alpha or 0.0, alpha)]
    counts = chosen.selection.counts
    return [one for splits in found for one in splits if one.role == "id_val" or counts(record.settings, one.split)]
