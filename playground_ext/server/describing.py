"""A task as pages see it: what its files say, and over it what its parties say on the server."""

from __future__ import annotations

import functools
import re
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

from playground_ext.errors import PlaygroundError
from playground_ext.logs.record import ERRORS, LogRecord
from playground_ext.runner.history import PartyRecord, Record
from playground_ext.runner.templates import DECLARATION, find_templates, load
from playground_ext.server.failures import from_summary, from_words
from playground_ext.server.paths import Root
from playground_ext.server.state import RunWords
from playground_ext.server.wire import Failure, Party, PartyStatus, Task, TaskStatus

__all__ = ["describe"]

_TAIL = 16_384  # bytes of a party's log that are looked at for its last words
_SIZE_FRESH = 20.0  # seconds for which the size of a growing folder counts
_ENDED: dict[str, TaskStatus] = {
    "ok": "finished",
    "failed": "failed",
    "timeout": "failed",
    "interrupted": "interrupted",
    "killed": "abandoned",
}
_PARTY_ENDED: dict[str, PartyStatus] = {"ok": "finished", "failed": "failed", "stopped": "failed", "killed": "lost"}


def describe(name: str, record: Record | None, words: RunWords | None, root: Root) -> Task:
    """What is known about the task now. `words`: of its newest run, if the server knows that one."""
    active = record is not None and record.active
    if record is not None and not active:
        record = record.latest()  # what was read before its runner left would say that it was killed
    background = record is not None and record.template is not None
    words = words or RunWords()
    names = list(dict.fromkeys([*words.nodes, *(party.name for party in record.parties)] if record else words.nodes))
    records = {party.name: party for party in record.parties} if record else {}
    parties = [_party(one, records.get(one), record, words, active=active, root=root) for one in names]
    rounds = [party.round for party in parties if party.round is not None]
    source: Literal["notebooks", "background"] = "background" if background else "notebooks"
    return Task(
        task=name,
        status=_status(record, words, active=active),
        created=_created(record, words),
        source=source,
        parties=parties,
        notebooks={party.party: party.notebook for party in parties if party.notebook is not None},
        run=words.run or (_text(record.summary.get("run")) if record else None),
        failure=_first(record, words, parties),
        title=_title(name, record, words, root),
        algorithm=_text(words.meta.get("algorithm")),
        round=max(rounds, default=None),
        rounds=words.rounds or (_rounds(record) if record else None),
        folder=root.name(record.folder) if record else None,
        size_bytes=_size(record, active=active) if record else 0,
    )


def _status(record: Record | None, words: RunWords, *, active: bool) -> TaskStatus:
    if record is not None and record.template is not None:
        if active:
            return "waiting" if words.status == "open" else "running"
        return _ENDED.get(record.ending, "abandoned")
    if active or words.anybody:
        return "running" if words.status == "running" else "waiting"
    if words.run is not None and words.status in ("ended", "failed"):
        return "finished" if words.status == "ended" else "failed"
    if any(party.failure is not None for party in words.parties.values()):
        return "failed"
    if record is not None and record.ending == "ok":
        return "finished"
    if record is not None and any(_last_words(party.logs) for party in record.parties):
        return "failed"
    return "interrupted" if any(party.ended == "left" for party in words.parties.values()) else "abandoned"


def _party(
    name: str, record: PartyRecord | None, task: Record | None, words: RunWords, *, active: bool, root: Root
) -> Party:
    said = words.of(name)
    hello = said.hello or said.waiting
    report = record.report if record is not None else {}
    summary = record.summary if record is not None else {}
    file = _notebook(name, task, hello)
    path = root.name(file) if file is not None and file.suffix == ".ipynb" else None
    alive = said.alive or (record is not None and record.active)
    live = bool(words.run or hello) and name in words.nodes
    status, state = words.status_of(name) if live else _ended(record, alive=alive, report=report)
    if task is not None and task.template is not None and not active and "status" in summary:
        status = _PARTY_ENDED.get(str(summary["status"]), "lost")
        state = {"ok": "done"}.get(str(summary["status"]), str(summary["status"]))
    elif task is not None and task.template is not None and active and status in ("missing", "lost") and not said.hello:
        status, state = "waiting", "starting its notebook"
    role = hello.get("role") or report.get("role") or summary.get("role") or ""
    round = said.round if said.round is not None else report.get("rounds", summary.get("round"))
    return Party(
        party=name,
        role=str(role),
        state=state,
        status=status,
        round=round if isinstance(round, int) else None,
        rounds=said.rounds or words.rounds or (_rounds(task) if task is not None else None),
        last_seen=said.heard or (_changed(record.logs) if record is not None else None),
        alive=alive,
        notebook=path,
        error=_failure(name, said.failure or (said.waiting if "error" in said.waiting else None), summary, file, path)
        or (_from_log(name, record, path) if status == "failed" and not live and record is not None else None),
    )


def _ended(record: PartyRecord | None, *, alive: bool, report: dict[str, Any]) -> tuple[PartyStatus, str]:
    """A party of which only files are known."""
    if alive:
        return "waiting", "starting"
    if report:
        return "finished", "done"
    if record is not None and _last_words(record.logs):
        return "failed", "failed"
    return ("lost", "did not come to its end") if record is not None else ("missing", "not here")


def _failure(
    party: str, body: dict[str, Any] | None, summary: dict[str, Any], file: Path | None, path: str | None
) -> Failure | None:
    error = summary.get("error")
    if isinstance(error, dict) and file is not None and not error.get("consequence"):
        return from_summary(party, error, file, path)
    return None if body is None else from_words(party, body, file, path)


def _first(record: Record | None, words: RunWords, parties: list[Party]) -> Failure | None:
    first = (record.summary.get("first_failure") if record is not None else None) or words.first_failure()
    errors = [party.error for party in parties if party.error is not None]
    return next((error for error in errors if error.party == first), errors[0] if errors else None)


def _notebook(party: str, task: Record | None, hello: dict[str, Any]) -> Path | None:
    """The file of a party's notebook, as the runner or Jupyter named it."""
    if task is not None and task.template is not None:
        return task.folder / f"{party}.ipynb"
    said = hello.get("notebook")
    return Path(said) if isinstance(said, str) and said else None


def _created(record: Record | None, words: RunWords) -> float:
    opened = words.meta.get("opened")
    if isinstance(opened, int | float) and (record is None or record.template is None):
        return float(opened)
    return record.began if record is not None else min((_since(w.waiting) for w in words.parties.values()), default=0.0)


def _since(waiting: dict[str, Any]) -> float:
    since = waiting.get("since", waiting.get("time"))
    return float(since) if isinstance(since, int | float) else time.time()


def _title(name: str, record: Record | None, words: RunWords, root: Root) -> str | None:
    if record is not None and record.template is not None:
        return _text(record.summary.get("title")) or _template_title(record.template)
    said = [{**party.waiting, **party.hello}.get("notebook") for party in words.parties.values()]
    folders = [Path(notebook).parent for notebook in said if isinstance(notebook, str)]
    for folder in (*folders, root.folder / name):  # where the launcher made it, as long as nobody chose another place
        if (changed := _changed(folder / DECLARATION)) is not None:
            return _declared_title(folder, changed)
    return None


@functools.lru_cache(maxsize=256)
def _declared_title(folder: Path, changed: float) -> str | None:
    try:
        return load(folder).title
    except PlaygroundError:
        return None


@functools.lru_cache(maxsize=64)
def _template_title(name: str) -> str | None:
    template = find_templates().get(name)
    return None if template is None or isinstance(template, PlaygroundError) else template.title


def _rounds(record: Record | None) -> int | None:
    parameters = record.summary.get("parameters") if record is not None else None
    rounds = parameters.get("max_rounds") if isinstance(parameters, dict) else None
    return rounds if isinstance(rounds, int) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _size(record: Record, *, active: bool) -> int:
    """Bytes on the disk; counted anew when the folder has changed, or now and then while somebody writes."""
    key = (
        str(record.folder),
        "running" if active else record.ending,
        int(time.monotonic() / _SIZE_FRESH) if active else _changed(record.folder),
    )
    return _counted(key, record)


_sizes: dict[str, tuple[tuple[Any, ...], int]] = {}


def _counted(key: tuple[Any, ...], record: Record) -> int:
    known = _sizes.get(key[0])
    if known is None or known[0] != key:
        known = _sizes[key[0]] = (key, record.size)
    return known[1]


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _last_words(log: Path) -> LogRecord | None:
    """The error with which a party's log ends, as far as its last lines show one."""
    changed = _changed(log)
    return None if changed is None else _last_error(log, changed)


@functools.lru_cache(maxsize=1024)
def _last_error(log: Path, changed: float) -> LogRecord | None:
    decoder = msgspec.json.Decoder(LogRecord)
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            found = file.read().splitlines()
    except OSError:
        return None
    for line in reversed(found[-20:]):
        try:
            record = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        if record.level in ERRORS:
            return record
    return None


def _from_log(party: str, record: PartyRecord, notebook: str | None) -> Failure | None:
    """The traceback that the party's own log ends with."""
    last = _last_words(record.logs)
    if last is None:
        return None
    kind, message = _last_line(last.text)
    return Failure(party=party, kind=kind, message=message, traceback=last.text, notebook=notebook)


def _last_line(text: str) -> tuple[str, str]:
    lines = [line for line in text.splitlines() if line.strip()]
    found = re.match(r"(?:\w+\.)*(\w+): (.*)", lines[-1]) if lines else None
    return (found[1], found[2]) if found else ("failed", lines[-1] if lines else "")
