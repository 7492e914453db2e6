"""Whether a rehearsal and a trial agree on each of open_clip's architectures, as a Markdown table.

    python tests/architectures [ARCH...] [-o docs/architectures.md]

The rehearsal is the one of `--dry-run`, with weights yet to be fetched: tensors have no values, and a stand-in reads
the prompts. The trial has random weights on the CPU: for models of up to `--most` million parameters.
"""

from __future__ import annotations

import argparse
import copy
import gc
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers import methods, rehearsal
from flyp_sweep.trainers.datasets.digits import Digits
from flyp_sweep.trainers.hyper_parameters import facts_of
from flyp_sweep.trainers.models import pretrained, text_sides
from flyp_sweep.trainers.models.objectives import objective_of
from flyp_sweep.trainers.models.without_values import META, WithoutValues
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.task import Task

METHODS = ("flyp", "ft", "lp", "coop")
FACTS = ("million parameters", "pretraining", "image size", "batch normalisation")
COLUMNS = ("architecture", *FACTS, "rehearsal", "trial")


@dataclass(frozen=True)
class Row:
    """One architecture; `said` and `found` name the methods that fail, None where nothing could be run."""

    arch: str
    facts: tuple[str, ...]
    said: str | None
    found: str | None

    @property
    def agrees(self) -> bool:
        return self.found is None or self.said == self.found

    def __str__(self) -> str:
        said, found = (one if one is not None else "not run" for one in (self.said, self.found))
        return f"| {' | '.join((self.arch, *self.facts, said, found))} |"


def space_of(arch: str) -> SearchSpace:
    """A sweep of `METHODS` on `arch`."""
    space = {"lr": 1e-5, "weight_decay": 0.1}
    return from_mapping(
        {
            "name": "architectures",
            "dataset": "digits",
            "model": {"arch": arch, "pretrained": "random"},
            "methods": list(METHODS),
            "search": {"num_samples": 1, "space": space},
        },
        "architectures.yaml",
    )


def row_of(arch: str, most: int) -> Row:
    """What the rehearsal says of `arch`, and what a trial finds."""
    space = space_of(arch)
    (model,) = space.models
    blank = ("",) * len(FACTS)
    try:
        text_sides.check_packages(arch)
        count = pretrained.parameter_count(model)
    except InputError as error:
        return Row(arch, blank, reason(error), None)
    clip = pretrained.skeleton(model)
    assert clip is not None
    assert count is not None
    tokenizer = rehearsal.Words(text_sides.context_length(model))
    shared = Shared(
        rehearsal.of_clip(model, copy.deepcopy(clip), tokenizer), rehearsal.Few([Digits(Path("data"))]), META
    )
    size = shared.pretrained.preprocess.size
    normalised = pretrained.batch_normalisations(model)
    facts = (f"{count / 1e6:.0f}", objective_of(clip).name, f"{size[0]}", f"{normalised or ''}")
    said = failing(space, shared, WithoutValues())
    found = failing(space, rehearsal.with_values(shared, model), None) if count <= most else None
    return Row(arch, facts, said, found)


def failing(space: SearchSpace, shared: Shared, told: WithoutValues | None) -> str:
    """The methods that fail with `shared`, in words: without values where `told` is given."""
    (model,) = space.models
    failed = []
    for name in METHODS:
        method = methods.get(name)
        spec = rehearsal.trial_spec(space, model, name, facts_of(space, name))
        task = Task(shared, spec)
        if told is None:
            error = rehearsal.failure(method, task, space)
        else:
            with told:
                error = rehearsal.failure(method, task, space)
        failed += [] if error is None else [name]
    return f"no: {', '.join(failed)}" if failed else "yes"


def reason(error: InputError) -> str:
    return "needs `flyp-sweep[hf]`" if text_sides.EXTRA in str(error) else "needs files of a hub"


def table(rows: list[Row]) -> str:
    """The page: a sentence, and a line for each architecture."""
    installed = "with" if importlib.util.find_spec("transformers") else "without"
    tried = sum(row.found is not None for row in rows)
    differing = [row.arch for row in rows if not row.agrees]
    taken = sum(row.said == "yes" for row in rows)
    exceptions = f", not on {', '.join(differing)}" if differing else ""
    head = (
        f"# Architectures\n\nOf {len(rows)} architectures of open_clip, {taken} go through a rehearsal of "
        f"{', '.join(METHODS)} ({installed} `transformers`).\nA trial of one step with random weights was run on "
        f"{tried}; it agrees with the rehearsal on {tried - len(differing)}{exceptions}.\n"
        "`python tests/architectures -o docs/architectures.md` makes this page.\n\n"
    )
    rule = "|---|" + "---:|" + "---|" + "---:|" * 2 + "---|---|"
    return head + "\n".join([f"| {' | '.join(COLUMNS)} |", rule, *map(str, rows), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archs", nargs="*", metavar="ARCH", help="left out: all that open_clip has")
    parser.add_argument("-o", "--output", type=Path, help="left out: the table is printed")
    parser.add_argument("--most", type=float, default=260, help="million parameters of a model that is trained")
    parsed = parser.parse_args()
    rows: list[Row] = []
    for arch in parsed.archs or text_sides.with_ours().list_models():
        rows.append(row_of(arch, int(parsed.most * 1e6)))
        print(rows[-1], file=sys.stderr, flush=True)
        gc.collect()
        if parsed.output:
            parsed.output.write_text(table(rows), encoding="utf-8")
    if not parsed.output:
        print(table(rows))


if __name__ == "__main__":
    main()
