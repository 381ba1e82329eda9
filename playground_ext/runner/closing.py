"""The last words of `playground run`: how it went, where everything is, what to try next."""

from __future__ import annotations

import os
import re
import shlex
import signal
from pathlib import Path

from playground_ext.runner.notebook import Failure
from playground_ext.runner.outcome import Outcome
from playground_ext.runner.report import accuracy_by_round

__all__ = ["closing_text", "fold"]

_OUR_FRAME = re.compile(r"File \S*playground_ext[/\\]")
_FIRST_ROUNDS, _LAST_ROUNDS = 5, 15  # shown of a long run
_LONGEST_TRACEBACK = 60  # lines on the terminal; junit.xml and the notebook hold all


def closing_text(outcome: Outcome, problems: list[str]) -> str:
    """How the run went, for people. `problems`: reports that could not be written."""
    parts = [_head(outcome)]
    first = outcome.first
    if first is not None and outcome.signal is None:
        parts.append(_failure(first, outcome))
    table = _accuracy(outcome)
    if table:
        parts.append("accuracy per round\n" + "\n".join(table))
    parts.append(_files(outcome))
    if problems:
        parts.append("\n".join(problems))
    if outcome.status == "ok":
        parts.append(_next_steps(outcome))
    return "\n\n".join(parts)


def _head(outcome: Outcome) -> str:
    count, seconds = len(outcome.plan.parties), outcome.seconds
    if outcome.signal is not None:
        return f"Stopped by {signal.Signals(outcome.signal).name} after {seconds:.1f} s; the notebooks are saved."
    if outcome.timed_out is not None:
        return f"Stopped: the run did not end within {outcome.timed_out:g} s (--timeout)."
    if outcome.status == "ok":
        return f"All {count} notebooks ran to their end in {seconds:.1f} s."
    return f"The run failed after {seconds:.1f} s."


def _failure(first: Failure, outcome: Outcome) -> str:
    others = [party for party, failure in outcome.failures.items() if party != first.party and not failure.consequence]
    lines = fold(first.traceback).splitlines()
    if len(lines) > _LONGEST_TRACEBACK:
        half = _LONGEST_TRACEBACK // 2
        lines = [*lines[:half], f"… {len(lines) - 2 * half} lines, see {first.notebook.name}", *lines[-half:]]
    if not any(first.headline in line for line in lines):
        lines += [first.headline]
    shown = "\n".join(f"  {line}".rstrip() for line in lines)
    text = f"{first.party} failed{' first' if others else ''} in {first.place}\n\n{shown}"
    return text + (f"\n\nAfter it also failed: {', '.join(others)}" if others else "")


def fold(traceback: str) -> str:
    """An IPython traceback without the frames inside this package: the reader's own code is what can be mended."""
    blocks: list[str] = []
    folded = 0
    for block in traceback.split("\n\n"):
        if _OUR_FRAME.match(block):
            folded += 1
            continue
        if folded:
            blocks.append(f"… {folded} frame{'s' if folded > 1 else ''} inside playground_ext")
            folded = 0
        blocks.append(block)
    return "\n\n".join(blocks)


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
