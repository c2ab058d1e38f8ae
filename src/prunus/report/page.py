"""The page: one HTML file that says what an experiment asked, what came out, and how sure that is."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunus.errors import HistoryError
from prunus.files.atomic import write_atomically
from prunus.history.store import History
from prunus.report import details, names, palette, ranking, runs, tables, verdict, words
from prunus.report.curves import Curve, Point, closeup_floor, curves, dense_point
from prunus.report.evidence import Evidence, gather
from prunus.report.frame import CLOSEUPS, LAYOUTS
from prunus.report.lottery.elsewhere import elsewhere
from prunus.report.lottery.section import lottery
from prunus.report.terms import terms_of
from prunus.report.toml import to_toml

if TYPE_CHECKING:
    import jinja2

_MOST_ROWS_OPEN = 24  # comparisons; of more, those at the other sparsities are folded away
_MOST_LAYERS_OPEN = 12
_MOST_PROBLEMS = 20


def render(history: History, experiment_id: str | None = None) -> str:
    """The page of one experiment, complete or not: HTML that needs nothing beside itself.

    Args:
        history: that holds the experiment.
        experiment_id: or the beginning of it; None for the latest.

    Raises:
        UnknownNameError: there is no such experiment.
        ArgumentError: there are several that begin so.
        HistoryError: its record is damaged, or there is no experiment at all.
    """
    evidence = gather(history, experiment_id)
    templates = _templates()
    templates.filters["short"] = evidence.short.__getitem__
    script = _packaged("script.js")
    return templates.get_template("page.html").render(
        evidence=evidence,
        title=evidence.experiment.title or f"Experiment {evidence.experiment.id}",
        created=_moment(evidence.experiment.created),
        version=metadata.version("prunus"),
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **_numbers(evidence, history),
    )


def write_report(history: History, path: Path | str, experiment_id: str | None = None) -> Path:
    """Write the page of one experiment to a file, whole or not at all, and return the file's path.

    Args:
        history: that holds the experiment.
        path: of the file; folders above it are made.
        experiment_id: or the beginning of it; None for the latest.

    Raises:
        UnknownNameError, ArgumentError: as for ``render``.
        HistoryError: likewise, or the file cannot be written; what stood there before is untouched.
    """
    target = Path(path).expanduser()
    # A name from a record that was changed by hand may hold half a character, which no encoding has.
    data = render(history, experiment_id).encode(errors="replace")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, data)
    except OSError as error:
        raise HistoryError(
            f"the report cannot be written to {target}: {error.strerror or error}; name another file"
        ) from error
    return target


def _numbers(evidence: Evidence, history: History) -> dict[str, Any]:
    rows = runs.run_rows(evidence)
    missing = runs.unfinished(rows)
    compared = tables.comparisons(evidence)
    lines = curves(evidence)
    dense = dense_point(evidence)
    cards, more_cards = verdict.cards(evidence)
    return {
        "terms": terms_of(evidence.experiment),
        "subtitle": verdict.subtitle(evidence),
        "verdict": verdict.verdict(evidence),
        "cards": cards,
        "more_cards": more_cards,
        "comparability": verdict.comparability(evidence),
        "curves": lines,
        "dense_point": dense,
        **_charts(evidence, lines, dense),
        "rankings": ranking.levels(evidence) if evidence.is_crowded else [],
        "lottery": lottery(evidence, history.blobs),
        "elsewhere": elsewhere(evidence, history),
        "told_apart": evidence.highlighted if evidence.is_crowded else evidence.techniques,
        "comparisons": compared,
        "folded": len(compared) > _MOST_ROWS_OPEN,
        "class_maps": details.class_maps(evidence),
        "layer_groups": details.layer_groups(evidence),
        "most_layers": _MOST_LAYERS_OPEN,
        "sizes": tables.sizes(evidence),
        "runs": rows,
        "unfinished": missing,
        "over_seeds": "over the seeds measured so far"
        if missing
        else f"of {words.plural(len(evidence.seeds), 'seed')}",
        "problems": evidence.problems[:_MOST_PROBLEMS],
        "more_problems": max(0, len(evidence.problems) - _MOST_PROBLEMS),
        "environment": runs.environment(evidence),
        "recipe": to_toml(evidence.experiment.recipe),
    }


def _charts(evidence: Evidence, lines: list[Curve], dense: Point | None) -> dict[str, Any]:
    """The chart and its close-up in every width, and whether they need a legend below."""
    from prunus.report.accuracy_chart import accuracy_chart

    floor, parts = closeup_floor(lines, dense), terms_of(evidence.experiment).parts
    full, close = [], []
    if lines:
        full = [accuracy_chart(lines, dense, evidence.targets, layout, parts=parts) for layout in LAYOUTS]
    if floor:
        close = [accuracy_chart(lines, dense, evidence.targets, layout, floor, parts) for layout in CLOSEUPS]
    return {
        "charts": [chart for chart, _ in full],
        "closeups": [chart for chart, _ in close],
        "legend": not all(named for _, named in full + close),
    }


def _templates() -> jinja2.Environment:
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("prunus.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(palette=palette, words=words)
    found.filters.update(
        percent=words.percent,
        sparsity=words.sparsity_percent,
        count=words.count,
        kilobytes=words.kilobytes,
        sortable=tables.sortable,
        spread=words.spread,
        printable=names.printable,
    )
    return found


def _packaged(name: str) -> str:
    return resources.files("prunus.report").joinpath("templates", name).read_text(encoding="utf-8")


def _moment(created: str) -> str:
    moment = datetime.fromisoformat(created)
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M} UTC"
