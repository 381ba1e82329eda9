"""Calls one function per party, each in a process of its own, and brings back what the functions returned."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripted_parties import ScriptedParties

__all__ = ["Failed", "Federation"]

_PARTY = """
import pickle, runpy
from pathlib import Path
from playground_ext import mock_context

play = runpy.run_path({module!r})[{function!r}]
try:
    with mock_context(id={party!r}, nodes={nodes!r}, task_id={task!r}):
        answer = (True, play(**pickle.loads({options!r})))
except BaseException as error:
    Path({answer!r}).write_bytes(pickle.dumps((False, (type(error).__name__, str(error)))))
    raise
Path({answer!r}).write_bytes(pickle.dumps(answer))
"""


@dataclass(frozen=True)
class Failed:
    """How a party ended that raised."""

    error: str  # its class
    text: str


class Federation:
    """All parties of a task at once."""

    def __init__(self, parties: ScriptedParties, folder: Path) -> None:
        self._parties = parties
        self._folder = folder

    def __call__(
        self,
        module: Path,
        parties: Mapping[str, tuple[str, Mapping[str, Any]]],
        *,
        nodes: list[str] | None = None,
        task: str = "task",
        timeout: float = 90,
        dying: Collection[str] = (),
        returning: Collection[str] = (),
    ) -> dict[str, Any]:
        """Call `function(**options)` of the module for each party: `{party: (function, options)}`, initiator first.

        Returns what each returned, and a `Failed` for one that raised. Those in `dying` need not return anything;
        those in `returning` are started a second time when their first process has ended.
        """
        scripts: dict[str, str] = {}
        files = {party: self._folder / f"{party}.answer" for party in parties}
        for party, (function, options) in parties.items():
            names = {
                "module": str(module),
                "function": function,
                "party": party,
                "nodes": nodes or list(parties),
                "task": task,
                "options": pickle.dumps(dict(options)),
                "answer": str(files[party]),
            }
            files[party].unlink(missing_ok=True)
            scripts[party] = _PARTY.format(**names)
            self._parties.start(party, scripts[party])
        for party in returning:
            self._parties.process(party).join(timeout)
            self._parties.start(party, scripts[party])
        outcomes = self._parties.finish(timeout)
        silent = [party for party, file in files.items() if not file.exists()]
        missing = [f"{party}:\n{outcomes[party].err[-3000:]}" for party in silent if party not in dying]
        assert not missing, "no answer from " + "\n".join(missing)
        answers = {party: pickle.loads(file.read_bytes()) for party, file in files.items() if party not in silent}
        return {party: value if fine else Failed(*value) for party, (fine, value) in answers.items()}
