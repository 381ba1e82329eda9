"""The last words of `playground run`: how it went, where everything is, what to try next."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path

from playground_ext.runner.excerpt import excerpt
from playground_ext.runner.final_metrics import final_lines
from playground_ext.runner.history import run_name
from playground_ext.runner.notebook import Failure
from playground_ext.runner.outcome import Outcome
from playground_ext.runner.position import position
from playground_ext.runner.progress import measure
from playground_ext.runner.report import accuracy_by_round, last_values
from playground_ext.runner.screen import SCREEN

__all__ = ["closing_text"]

_FIRST_ROUNDS, _LAST_ROUNDS = 5, 15  # shown of a long run
_LEAST = 6  # lines of a failure that are shown whatever the screen


def closing_text(outcome: Outcome, problems: list[str], *, lines: int = SCREEN, columns: int | None = None) -> str:
    """How the run went, for people; a failure in at most `lines` lines, none of them wider than `columns`.

    `problems`: reports that could not be written.
    """
    first = outcome.first if outcome.signal is None else None
    if first is not None and first.consequence and outcome.timed_out is not None:
        first = None  # nobody failed: all were stopped
    parts = [_head(outcome)]
    if first is None:
        if table := _accuracy(outcome):
            parts.append("accuracy per round\n" + "\n".join(table))
        if table := _last_values(outcome):
            parts.append("last values\n" + "\n".join(table))
        parts.append(_files(outcome))
    else:
        parts.append(_where_to_read_on(first, outcome))
    if problems:
        parts.append("\n".join(problems))
    if outcome.status == "ok":
        parts.append(_next_steps(outcome))
    elif first is None and (resume := _resume(outcome)):
        parts.append(f"Go on with it: {resume}")
    if first is not None:
        others = len("\n\n".join(parts).splitlines()) + 1
        parts.insert(1, _failure(first, outcome, lines - others, columns))
    return "\n\n".join(parts)


def _head(outcome: Outcome) -> str:
    count, seconds = len(outcome.plan.parties), outcome.seconds
    if outcome.signal is not None:
        return f"Stopped by {signal.Signals(outcome.signal).name} after {seconds:.1f} s; the notebooks are saved."
    if outcome.timed_out is not None:
        return f"Stopped: the run did not end within {outcome.timed_out:g} s (--timeout)."
    if outcome.status == "ok":
        lost, quorum = sorted(outcome.lost), min(outcome.lost.values(), default=0)
        if not lost:
            return f"All {count} notebooks ran to their end in {seconds:.1f} s."
        whom = "; ".join(f"{outcome.failures[party].headline} ({outcome.failures[party].place})" for party in lost)
        without = f"{', '.join(lost)} {'was' if len(lost) == 1 else 'were'} lost, the others went on (quorum {quorum})"
        return f"{count - len(lost)} of {count} notebooks ran to their end in {seconds:.1f} s.\n{without}: {whom}"
    return f"The run failed after {seconds:.1f} s."


def _failure(first: Failure, outcome: Outcome, lines: int, columns: int | None) -> str:
    """Who, where and what, in `lines` lines."""
    others = [party for party, failure in outcome.failures.items() if party != first.party and not failure.consequence]
    times = len(outcome.attempts.get(first.party, []))
    after = f", after it was started again {times} time{'s' if times > 1 else ''}" if times else ""
    head = f"{first.party} failed{' first' if others else ''} in {first.place}{after}"
    tail = f"\n\nAfter it also failed: {', '.join(others)}" if others else ""
    room = max(_LEAST, lines - 2 - (2 if others else 0))
    width = None if columns is None else columns - 2
    shown = excerpt(first.traceback, first.headline, lines=room, columns=width)
    return f"{head}\n\n" + "\n".join(f"  {line}".rstrip() for line in shown) + tail


def _where_to_read_on(first: Failure, outcome: Outcome) -> str:
    """Where the rest is, and what to do about it."""
    plan, here = outcome.plan, _short(outcome.folder)
    lines = [f"The executed notebooks are in {here}", f"The whole traceback is in {here}/{first.notebook.name}"]
    lines[-1] += " and junit.xml" if (outcome.folder / "junit.xml").exists() else ""
    resume = _resume(outcome)
    if resume and plan.template.source != "path":
        lines.append(f"Next: mend {here}/{first.notebook.name}, then go on from the last checkpoint: {resume}")
        lines.append(f"Or make a copy of your own: playground new {plan.template.name} my_task")
    elif plan.template.source == "path":
        mine = _short(plan.template.folder)
        source = next((party.source.name for party in plan.parties if party.name == first.party), "")
        again = f"playground run {shlex.quote(mine)}"
        then = f" go on from the last checkpoint: {resume}" if resume else f": {again}"
        lines.append(f"Next: mend {mine}/{source}, then{then}")
        lines += [f"Or begin anew: {again}"] if resume else []
    else:
        lines.append(
            f"Next: other parameters (playground run {plan.template.name} --help), playground doctor, or a copy"
        )
        lines.append(f"that you can mend: playground new {plan.template.name} my_task")
    return "\n".join(lines)


def _resume(outcome: Outcome) -> str:
    """The command that goes on with it; empty if there is no checkpoint."""
    if position(outcome.plan, outcome.folder) is None:
        return ""
    return f"playground resume {shlex.quote(run_name(outcome.folder))}"


def _accuracy(outcome: Outcome) -> list[str]:
    found = accuracy_by_round(outcome)
    rounds = sorted({int(entry["round"]) for entries in found.values() for entry in entries})
    if not rounds:
        return []
    width = max(10, *(len(party) for party in found))
    values = {party: {int(entry["round"]): entry["accuracy"] for entry in entries} for party, entries in found.items()}
    lines = ["  round  " + "  ".join(party.rjust(width) for party in found)]
    hidden = rounds[_FIRST_ROUNDS:-_LAST_ROUNDS] if len(rounds) > _FIRST_ROUNDS + _LAST_ROUNDS else []
    for number in rounds:
        if number in hidden:
            if number == hidden[0]:
                lines.append(f"  … {len(hidden)} more rounds, see metrics.csv")
            continue
        cells = (f"{values[party][number]:.2%}" if number in values[party] else "" for party in found)
        lines.append(f"  {number:>5}  " + "  ".join(cell.rjust(width) for cell in cells))
    return lines


def _last_values(outcome: Outcome) -> list[str]:
    """Of all metrics but the accuracies, which stand above."""
    found = last_values(outcome)
    return final_lines(
        found, but={name for metrics in found.values() for name in metrics if measure(name) == "accuracy"}
    )


def _files(outcome: Outcome) -> str:
    folder = outcome.folder
    here = _short(folder)
    lines = [f"The executed notebooks are in {here}"]
    known = {
        "logs.jsonl": "everything that all parties logged",
        "metrics.csv": "every number they reported",
        "model.safetensors": "the final model",
        "junit.xml": "for CI",
        "summary.json": "for programs",
    }
    for name, meaning in known.items():
        path = folder / name
        if path.exists() and path.stat().st_size and (name != "metrics.csv" or outcome.board.points):
            lines.append(f"  {name:<18} {meaning}")
    return "\n".join(lines)


def _next_steps(outcome: Outcome) -> str:
    plan = outcome.plan
    notebook = shlex.quote(f"{_short(outcome.folder)}/{plan.nodes[0]}.ipynb")
    source = plan.template.name if plan.template.source != "path" else _short(plan.template.folder)
    again = f"playground run {shlex.quote(source)}"
    rows = [(f"jupyter lab {notebook}", f"read what {plan.nodes[0]} saw, with everyone's logs")]
    if plan.template.source != "path":
        rows.append(
            (f"playground new {plan.template.name} my_task", "a copy that is yours: put in your model and your data")
        )
    if plan.template.repeating is not None:
        rows.append((f"{again} --parties {len(plan.parties) + 1}", f"the same with one more {plan.template.repeating}"))
    elif plan.template.parameters:
        name = next(iter(plan.template.parameters))
        rows.append((f"{again} -p {name}=…", "the same with another value"))
    if len(rows) < 3:
        rows.append((again, "run it again"))
    width = max(len(row[0]) for row in rows)
    return "Try next\n" + "\n".join(f"  {row[0].ljust(width)}  {row[1]}" for row in rows[:3])


def _short(path: Path) -> str:
    """Relative to the current folder where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
