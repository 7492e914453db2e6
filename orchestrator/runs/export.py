"""`flyp-sweep export`: from a repeat in the ledger to a folder that open_clip loads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from flyp_sweep.orchestrator.engine.trial_steps import repeat_exactly
from flyp_sweep.orchestrator.protocol.plan import CellPlan, plan
from flyp_sweep.orchestrator.runs.chosen import Chosen
from flyp_sweep.orchestrator.runs.model_card import model_card
from flyp_sweep.orchestrator.runs.outdated import changes_of
from flyp_sweep.orchestrator.runs.resume import Finished
from flyp_sweep.orchestrator.store.remote_run import WEIGHTS, unanswered
from flyp_sweep.results.durations import duration
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.naming import ZEROSHOT
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers import ensembles
from flyp_sweep.trainers.checkpoints.checkpoint import Policy, Saved
from flyp_sweep.trainers.checkpoints.kept_fits import KeptFits
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.object_store import Storage, StorageError
from flyp_sweep.trainers.ensembles.alpha_curve import AlphaCurve, zero_shot_logits
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.evaluation.predict import classify
from flyp_sweep.trainers.exporting.exported import ExportedModel
from flyp_sweep.trainers.exporting.folder import CARD, Export, check_free, drafted
from flyp_sweep.trainers.methods.portable import NotPortable as NotPortable
from flyp_sweep.trainers.preflight import check
from flyp_sweep.trainers.runner import TrialRunner
from flyp_sweep.trainers.spec import TrialSpec

Say = Callable[[str], None]


def export(chosen: Chosen, data_root: Path, folder: Path, say: Say) -> None:
    """Write the model that was chosen into `folder`; `say` is told what takes long and what was checked.

    Raises InputError where data or weights have changed since, the trial cannot be run again, or nothing can be
    written.
    """
    check_free(folder)
    cell_plan = planned(chosen, data_root.resolve(), say)
    spec = spec_of(chosen, cell_plan)
    machine = chosen.record.machine or {}
    threads = int(machine.get("threads", 1))
    device = torch.device("cuda" if machine.get("gpu") and torch.cuda.is_available() else "cpu")
    if machine.get("gpu") and device.type == "cpu":
        say(f"the trial ran on {machine['gpu']}, this machine has no GPU: the last bits of its numbers will differ")
    with numerics(threads, strictly=not any("last bits" in note for note in chosen.record.notes)):
        runner = TrialRunner(cell_plan.space, data_root.resolve(), device, threads, Cache.of_machine())
        runner.kept = OnlyRead(cell_plan.space, Policy(chosen.run.weights), ensembles.soups(cell_plan.space))
        curve = refitted(chosen, runner, spec, say)
        made = Export.of(curve, spec.trial_id, chosen.alpha, cell_plan.space.model_of(chosen.cell), threads)
        with drafted(folder) as draft:
            made.write(draft)
            say(checked(curve, chosen.alpha, draft))
            (draft / CARD).write_text(model_card(chosen, made), encoding="utf-8")


def planned(chosen: Chosen, data_root: Path, say: Say) -> CellPlan:
    """The plan of the model's cell, after the checks of a run, of its data set and its model alone."""
    space, cell = chosen.space, chosen.cell
    try:
        of_cell = {"dataset": space.dataset_of(cell), "model": space.model_of(cell), "evaluate": None}
        alone = space.model_copy(update=of_cell)
    except KeyError as error:
        raise InputError(f"{chosen.run.space}: found no {error}, of which {cell.key} is; put it back") from error
    found = {one.cell: one for one in plan(alone, check(alone, data_root, True, True, say=say, rehearses=False))}
    if cell not in found:
        raise InputError(f"{chosen.run.space}: found no cell {cell.key} in it any more; put its method back")
    return found[cell]


def spec_of(chosen: Chosen, cell_plan: CellPlan) -> TrialSpec:
    """The specification of the repeat. Raises InputError where it is no longer the one that the ledger has."""
    record = chosen.record
    ingredients = record.settings.get("ingredients")
    if ingredients:
        spec = cell_plan.soup(ingredients, record.seed)
    else:
        spec = cell_plan.repeat_trial(record.hparams, record.seed)
    if spec.trial_id != record.trial_id:
        changed = "; ".join(change.detail for change in changes_of(Finished.of(record, record.seconds), cell_plan))
        why = changed or "another version of flyp-sweep made it"
        raise InputError(
            f"trial {record.trial_id} cannot be made again as it was ({why}); "
            "put back what it was made with, or run the search space again"
        )
    return spec


class OnlyRead(KeptFits):
    """The fits that a run keeps: a command that reads a run adds nothing to it."""

    def write(self, spec: TrialSpec, saved: Saved) -> None:
        """Keep nothing."""


def refitted(chosen: Chosen, runner: TrialRunner, spec: TrialSpec, say: Say) -> AlphaCurve:
    """The models of the trial: from its kept weights, else from training it again, which `say` is told beforehand."""
    assert runner.kept is not None
    policy = runner.kept.policy
    absent = missing(chosen.run, policy, [spec])
    if absent and spec.ingredients:
        absent += missing(chosen.run, policy, spec.members)
    kept = spec.trial_id not in absent
    seconds = sum(chosen.seconds.get(name, 0.0) for name in absent)
    if not kept and chosen.cell.method != ZEROSHOT:  # of which nothing is trained
        say(
            f"the run has not kept the weights of trial {spec.trial_id}: they are trained again, which took "
            f"{duration(seconds)} in the run"
        )
        if (processes := (chosen.record.machine or {}).get("processes", 1)) > 1:
            say(f"{processes} processes trained it together, now it is one: the last bits of the weights will differ")
    running = runner.models(spec)
    try:
        while True:
            next(running)
            if kept:
                say(f"the kept weights of trial {spec.trial_id} cannot be read: they are trained again")
                kept = False
    except StopIteration as end:
        return end.value
    except TrialFailed as failure:
        raise InputError(f"trial {spec.trial_id} failed when it was run again: {failure}") from failure


def missing(run: RunFolder, policy: Policy, specs: Iterable[TrialSpec]) -> list[str]:
    """The ids of those trials whose weights are not kept; files of a run in a store are fetched into its copy."""
    store = Storage(run.label).below(WEIGHTS) if "://" in run.label else None
    found = []
    for spec in specs:
        path = policy.path(spec.trial_id)
        try:
            if store is not None:
                path.parent.mkdir(exist_ok=True)
                if not store.download(path.name, path):
                    path.unlink(missing_ok=True)
        except StorageError as error:
            raise unanswered(run.label, error) from error
        if not path.is_file():
            found.append(spec.trial_id)
    return found


def checked(curve: AlphaCurve, alpha: float, folder: Path) -> str:
    """A line that says whether the logits of the folder equal the trial's on the first id_val images, bit for bit."""
    task, method = curve.task, curve.method
    images = next(iter(task.shared.evaluation_batches(task.id_val)))
    if alpha == 0:
        own = zero_shot_logits(task, task.id_val)[: len(images)]
    else:
        inputs = next(iter(task.evaluation_inputs(task.id_val, method.frozen_encoder)))
        own = classify(method.ready(curve.at(alpha), task), inputs)
    logits = ExportedModel.load(folder, task.device).logits(images)
    if torch.equal(own, logits):
        return f"checked: the folder's logits of {counted(len(images), 'id_val image')} equal the trial's, bit for bit"
    return f"warning: logits of the folder differ by up to {(own - logits).abs().max().item():g} from the trial's"


@contextmanager
def numerics(threads: int, *, strictly: bool) -> Iterator[None]:
    """Inside the block torch computes as a worker with so many threads does."""
    before, exact = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    repeat_exactly(strictly=strictly)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(exact)
