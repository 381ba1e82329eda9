"""Parties of a split model, in real processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from federation import Federation
from scripted_parties import ScriptedParties


@pytest.fixture
def federation(parties: ScriptedParties, tmp_path: Path) -> Federation:
    return Federation(parties, tmp_path)
