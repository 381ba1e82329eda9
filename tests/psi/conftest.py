"""Pairs of id lists that both protocols must intersect exactly as Python's sets do, and a domain to hash in."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from federation import Federation
from scripted_parties import ScriptedParties

from playground_ext.psi.hashing import Domain, fresh_nonce

CASES: dict[str, tuple[list[str], list[str]]] = {
    "both empty": ([], []),
    "mine empty": ([], ["a", "b"]),
    "theirs empty": (["a", "b"], []),
    "one id, common": (["a"], ["a"]),
    "one id, different": (["a"], ["b"]),
    "ten ids": ([f"{i}" for i in range(10)], [f"{i}" for i in range(5, 15)]),
    "no overlap": (["a", "b", "c"], ["d", "e"]),
    "full overlap": (["a", "b", "c"], ["c", "a", "b"]),
    "duplicates": (["a", "b", "a", "a"], ["b", "b", "a", "d"]),
    "empty strings": (["", "a"], ["b", ""]),
    "composed and decomposed": (["Zo\u00eb", "\ud55c", "\u00c5", "x"], ["Zoe\u0308", "\u1112\u1161\u11ab", "\u212b"]),
    "ids of a megabyte": (["x" * 1_000_000, "y" * 1_000_000], ["x" * 1_000_000, "x" * 999_999 + "y"]),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def both_lists(request) -> tuple[list[str], list[str]]:
    return request.param


@pytest.fixture
def people():
    """Makes two lists of so many ids, half of them common, each in its own order."""

    def make(count: int) -> tuple[list[str], list[str]]:
        mine = [f"person-{i}" for i in range(count)]
        theirs = [f"person-{i}" for i in range(count // 2, count // 2 + count)]
        for ids in (mine, theirs):
            random.Random(count).shuffle(ids)
        return mine, theirs

    return make


@pytest.fixture
def domain() -> Domain:
    return Domain("psi", fresh_nonce(), fresh_nonce())


@pytest.fixture
def federation(parties: ScriptedParties, tmp_path: Path) -> Federation:
    return Federation(parties, tmp_path)
