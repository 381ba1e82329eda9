"""Parties that play the task of `small_task`, each in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from federation import Failed, Federation
from scripted_parties import ScriptedParties

sys.path.insert(0, str(Path(__file__).parent))  # small_task: tests share its oracle

import small_task

Play = Callable[..., dict[str, Any]]


@pytest.fixture
def play(parties: ScriptedParties, tmp_path: Path) -> Play:
    """`play("Plain", collaborators=2, parties={"collaborator-1": {…}}, **options)`: what each party returned.

    Options are given to every party, `parties` adds to those of one. Only with `may_fail` may one raise, and only
    the one that is `dying` may not answer; the one that is `returning` is run again when it has died.
    """
    federation = Federation(parties, tmp_path)

    def play(
        kind: str,
        *,
        collaborators: int = 2,
        task: str = "task",
        parties: dict[str, dict[str, Any]] | None = None,
        may_fail: bool = False,
        dying: str = "",
        returning: str = "",
        **options: Any,
    ) -> dict[str, Any]:
        nodes = small_task.names(collaborators)
        calls = {node: ("play", {"kind": kind, **options, **(parties or {}).get(node, {})}) for node in nodes}
        answers = federation(
            Path(small_task.__file__), calls, task=task, dying=[dying], returning=[returning] * bool(returning)
        )
        assert may_fail or not any(isinstance(answer, Failed) for answer in answers.values()), answers
        return answers

    return play
