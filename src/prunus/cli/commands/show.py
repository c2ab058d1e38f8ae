"""``prunus show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import moment, percent, print_json, print_table, say, short, size
from prunus.errors import UnknownNameError

if TYPE_CHECKING:
    from prunus.history.records import RunRecord, StateRecord
    from prunus.history.store import History


def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="Id of a run, of one of its states or of an experiment, or the beginning of it; the latest experiment "
            "where it is left out.",
        ),
    ] = None,
    folder: HistoryFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show an experiment's techniques in order of merit, or one run as a tree: every round and its outcome."""
    from prunus.history.store import History

    found = History(folder, create=False)
    record = None if name is None else _run(found, name)
    if record is None:
        _show_experiment(found, name, as_json)
    else:
        _show_run(found, record, as_json)


def _show_experiment(history: History, name: str | None, as_json: bool) -> None:
    from prunus.cli.verdict import print_outcome, ranking_rows, sentence
    from prunus.report.evidence import gather

    try:
        evidence = gather(history, name)
    except UnknownNameError as error:
        raise UnknownNameError(
            f"no run, state or experiment has an id that begins with {name!r}: `prunus history` lists the runs, "
            "with --experiments the experiments"
        ) from error
    verdict = sentence(evidence.choice) if evidence.choice else evidence.refusal
    if as_json:
        found = {"experiment": evidence.experiment.id, "title": evidence.experiment.title, "verdict": verdict}
        print_json({**found, "choice": evidence.choice, "ranking": ranking_rows(evidence)})
        return
    say(f"{evidence.experiment.title or 'experiment'}: {short(evidence.experiment.id)}")
    print_outcome(evidence)
    say("")
    say(verdict)


def _show_run(history: History, record: RunRecord, as_json: bool) -> None:
    states = history.states(record.id)
    if as_json:
        print_json({"run": record, "states": [state.record for state in states]})
        return
    say(f"{record.technique}, seed {record.seed}: run {record.id}, began {moment(record.created)} UTC")
    say(", ".join(f"{key} {value}" for key, value in {**record.task, **record.training}.items()))
    family = {member.id: member.record for state in states for member in state.lineage()}
    print_table(
        ["state", "what was done", "sparsity", "accuracy", "worst class", "size", "seconds"],
        _rows([*family.values()], record),
    )
    for state in states:
        if state.record.pruning and state.record.pruning.protected:
            say(f"{short(state.id)}: kept from being emptied: {', '.join(state.record.pruning.protected)}")
    if len(states) < record.states_planned:
        say(f"{len(states)} of {record.states_planned} states so far: run the recipe again to go on")


def _run(history: History, name: str) -> RunRecord | None:
    """The run of that id or with a state of that id; None where there is none."""
    try:
        return history.run(name)
    except UnknownNameError:
        pass
    try:
        return history.run(history.state(name).run_id)
    except UnknownNameError:
        return None


def _rows(records: list[StateRecord], run: RunRecord) -> list[list[str]]:
    """A row for each state, parents first; what branches off one state is drawn below it, one level deeper."""
    children: dict[str | None, list[StateRecord]] = {}
    for record in records:
        children.setdefault(record.parent, []).append(record)
    rows: list[list[str]] = []

    def draw(record: StateRecord, margin: str, mark: str) -> None:
        rows.append([f"{margin}{mark}{short(record.id)}", *_cells(record, run)])
        below = children.get(record.id, [])
        inside = margin + {"├─": "│ ", "└─": "  ", "": ""}[mark]
        for number, child in enumerate(below, 1):
            branch = "" if len(below) == 1 else "├─" if number < len(below) else "└─"
            draw(child, inside, branch)

    known = {record.id for record in records}
    for record in records:
        if record.parent not in known:
            draw(record, "", "")
    return rows


def _cells(record: StateRecord, run: RunRecord) -> list[str]:
    step = record.pruning
    done = {"initial": "initialised", "trained": "trained"}.get(record.kind, "")
    if record.kind == "trained" and record.run == run.id and "rewind_step" in run.settings:
        done = f"trained to step {run.settings['rewind_step']}"
    if record.kind == "trained" and record.run == run.id and "penalty" in run.settings:
        done = f"trained with {run.settings['penalty']}"
    if step:
        pattern = "" if step.pattern == "weight" else f"{step.pattern} "
        done = f"{step.criterion} {pattern}{step.scope}, {step.schedule} {step.position}/{step.of}, {record.retraining}"
    return [
        done,
        percent(record.sparsity, 2),
        percent(record.test.accuracy) if record.test else "–",
        percent(record.test.worst_class_accuracy) if record.test else "–",
        size(record.cost.size_bytes) if record.cost else "–",
        f"{record.seconds:.1f}",
    ]
