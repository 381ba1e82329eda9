"""Undisturbed federations to compare with, and battlefields."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # forked parties import these modules by name

from battlefield import Battlefield
from federation_under_attack import Outcome, play


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long is for `make chaos`, which sets CHAOS=1."""
    if os.environ.get("CHAOS"):
        return
    long = [item for item in items if item.get_closest_marker("chaos")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture
def until() -> Any:
    """`until(condition)`: wait for it, at most 30 seconds."""

    def wait(condition: Callable[[], object], timeout: float = 30) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            threading.Event().wait(0.02)

    return wait


@pytest.fixture
def assert_clear() -> Any:
    """`assert_clear(error, kind, *words)`: who, where, what and what to do, on one screen, without library frames."""

    def check(error: dict[str, str], kind: str, *words: str) -> None:
        assert error.get("kind") == kind, error
        assert [word for word in words if word not in error["text"]] == [], error["text"]
        lines = error["shown"].splitlines()
        assert lines[0].startswith(f"{kind}: ")
        assert len(lines) <= 40
        assert "  where: task chaos" in error["shown"]
        assert "  next:  " in error["shown"]
        assert "site-packages" not in "".join(lines[:10])

    return check


@pytest.fixture(scope="session")
def undisturbed() -> Any:
    """`undisturbed(scenario)`: its outcome, played once."""
    played: dict[str, Outcome] = {}

    def of(scenario: str) -> Outcome:
        if scenario not in played:
            played[scenario] = play(scenario)
            assert not played[scenario].problem, played[scenario].evidence
        return played[scenario]

    return of


@pytest.fixture
def battlefield() -> Iterator[Any]:
    """`battlefield(scenario, …)`: see Battlefield; closed at the end of the test."""
    opened: list[Battlefield] = []

    def open_one(scenario: str = "fed_avg", **options: Any) -> Battlefield:
        opened.append(Battlefield(scenario, **options).__enter__())
        return opened[-1]

    yield open_one
    for field in opened:
        field.__exit__(None, None, None)
