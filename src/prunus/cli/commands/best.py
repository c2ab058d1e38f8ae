"""``prunus best``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import print_json, say
from prunus.errors import ArgumentError, SelectionError

if TYPE_CHECKING:
    from prunus.history.records import RunRecord
    from prunus.history.store import History
    from prunus.selection.candidates import Candidate

_CONSTRAINT = re.compile(r"\b([a-z_]+_at_(?:least|most))=(?=[-\d.])")


def best(
    context: typer.Context,
    by: Annotated[str, typer.Option("--by", help="The metric to optimise.")] = "accuracy",
    experiment: Annotated[
        str | None,
        typer.Option("--experiment", help="Look at this experiment alone; by default at all comparable runs."),
    ] = None,
    folder: HistoryFolder = None,
    as_json: AsJson = False,
) -> None:
    """Choose the best model: `prunus best --sparsity-at-least 0.9 --worst-class-drop-at-most 0.02 --by accuracy`.

    Every metric can be bounded by --METRIC-at-least and --METRIC-at-most.

    Metrics: accuracy, loss, worst-class-accuracy, accuracy-drop,
    worst-class-drop, sparsity, parameters, nonzero-parameters,
    effective-parameters, flops, effective-flops, size-bytes, compression.
    """
    from prunus.history.store import History
    from prunus.selection.choose import choose
    from prunus.selection.constraints import parse_constraints

    history = History(folder, create=False)
    if experiment is not None:
        history = history.restricted_to(experiment)
    limits = parse_constraints(_constraints(context.args))
    candidates = history.candidates()
    others = _others(history, candidates) if experiment is None else []
    try:
        choice = choose(candidates, by.replace("-", "_"), limits)
    except SelectionError as error:
        told = [_CONSTRAINT.sub(_as_option, str(error)), *_looked_at(history, candidates, others)]
        raise SelectionError("\n".join(told)) from error
    if as_json:
        run = history.run(choice.replicate.run)
        print_json({**vars(choice), "task": run.task, "training": run.training, "other_experiments": others})
        return
    from prunus.cli.verdict import sentence

    say(sentence(choice))
    for line in _looked_at(history, candidates, others):
        say(line)
    say(f"run {choice.replicate.run}, state {choice.replicate.state} (seed {choice.replicate.seed})")
    say(f"prunus export {choice.replicate.state} --to model.safetensors   writes it")


def _looked_at(history: History, candidates: Sequence[Candidate], others: Sequence[str]) -> list[str]:
    """Among which models was chosen, and that there are others."""
    lines = []
    if candidates:
        models = sum(len(candidate.replicates) for candidate in candidates)
        work = _work(history.run(candidates[0].replicates[0].run))
        lines.append(f"looked at: {models} model{'' if models == 1 else 's'} of {work}")
    if others:
        noun = "experiment" if len(others) == 1 else "experiments"
        lines.append(
            f"{len(others)} other {noun} with another task or training: --experiment ID, "
            "`prunus history --experiments` lists them"
        )
    return lines


def _others(history: History, candidates: Sequence[Candidate]) -> list[str]:
    """Ids of the experiments of which no model was looked at."""
    seen = {replicate.run for candidate in candidates for replicate in candidate.replicates}
    return [each.id for each in history.experiments() if seen.isdisjoint(each.runs)] if seen else []


def _work(run: RunRecord) -> str:
    """Task and training in words; what merely tells versions of data and code apart is left out."""
    task = {key: value for key, value in run.task.items() if not key.startswith(("source of ", "digest"))}
    named = [str(task.pop(key)) for key in ("target", "data", "model") if task.get(key)]
    return ", ".join([*named, *_pairs(task), *_pairs(run.training)])


def _pairs(settings: Mapping[str, Any]) -> list[str]:
    return [f"{key.replace('_', ' ')} {value}" for key, value in settings.items() if value not in (None, False, [], ())]


def _as_option(constraint: re.Match[str]) -> str:
    return f"--{constraint[1].replace('_', '-')} "


def _constraints(arguments: list[str]) -> dict[str, float]:
    """``--sparsity-at-least 0.9`` and ``--sparsity-at-least=0.9`` to keyword arguments."""
    words = [part for argument in arguments for part in argument.split("=", 1)]
    constraints: dict[str, float] = {}
    for name, value in zip(words[::2], [*words[1::2], ""], strict=False):
        if not name.startswith("--"):
            raise ArgumentError(f"expected --METRIC-at-least or --METRIC-at-most, got {name!r}")
        try:
            constraints[name[2:].replace("-", "_")] = float(value)
        except ValueError:
            raise ArgumentError(f"{name} needs a number, got {value!r}") from None
    return constraints
