"""``prunus export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prunus.cli.options import AsJson, HistoryFolder
from prunus.cli.output import percent, print_json, say, size
from prunus.errors import ArgumentError, FileFormatError, SelectionError, UnknownNameError

if TYPE_CHECKING:
    from prunus.history.state import State
    from prunus.history.store import History


def export(
    name: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run or of one of its states.")],
    to: Annotated[Path, typer.Option("--to", help="The file to write.")],
    sparsity: Annotated[
        float | None,
        typer.Option("--sparsity", help="Of a run, the state of this requested sparsity; by default its last."),
    ] = None,
    folder: HistoryFolder = None,
    as_json: AsJson = False,
) -> None:
    """Write a recorded model to a packed safetensors file, for `prunus.load`, or of trees for `prunus.trees.load`."""
    from prunus.history.store import History

    state = _state(History(folder, create=False), name, sparsity)
    written = write_model(state, to)
    if as_json:
        print_json({"state": state.id, "run": state.run_id, "path": to, "size_bytes": written})
        return
    say(f"{to}: {size(written)}, sparsity {percent(state.record.sparsity, 2)}, state {state.id}")


def write_model(state: State, path: Path) -> int:
    """Write the state's packed file; its size in bytes."""
    from prunus.files.atomic import write_atomically

    data = state.weights()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise FileFormatError(f"cannot write {path}: {error.strerror or error}") from error
    return len(data)


def _state(history: History, name: str, sparsity: float | None) -> State:
    try:
        states = history.states(name)
    except UnknownNameError:
        return _single_state(history, name, sparsity)
    if not states:
        raise SelectionError(f"the run {name} has no state yet")
    if sparsity is None:
        return states[-1]
    for state in reversed(states):
        if abs(state.record.requested_sparsity - sparsity) < 1e-9:
            return state
    known = ", ".join(dict.fromkeys(f"{state.record.requested_sparsity:g}" for state in states))
    raise SelectionError(f"the run {name} has no state of requested sparsity {sparsity:g}: there are {known}")


def _single_state(history: History, name: str, sparsity: float | None) -> State:
    try:
        state = history.state(name)
    except UnknownNameError as error:
        raise UnknownNameError(
            f"no run or state has an id that begins with {name!r}: `prunus history` and `prunus show` list them"
        ) from error
    if sparsity is not None:
        raise ArgumentError(f"--sparsity chooses among the states of a run, but {name} is a state: leave it out")
    return state
