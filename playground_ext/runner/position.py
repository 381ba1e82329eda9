"""How far the parties of a run folder have come, by what is on their disks."""

from __future__ import annotations

from pathlib import Path

from playground_ext.party.checkpoint import Checkpoints
from playground_ext.party.policy import FailurePolicy
from playground_ext.party.run_record import RunRecord
from playground_ext.party.storage import PartyFolder, RunFolder
from playground_ext.runner.history import party_folder
from playground_ext.runner.plan import Plan

__all__ = ["newest_runs", "position"]


def position(plan: Plan, folder: Path) -> tuple[str, int] | None:
    """The newest run of the initiator, and the round after which all can go on; None without a checkpoint of it."""
    runs = newest_runs(plan, folder)
    records = {party: record for party, run in runs.items() if (record := RunRecord.load(run.root)) is not None}
    leader = next(
        (party for party, r in records.items() if r.meta.get("initiator") == runs[party].root.parent.name), ""
    )
    if not leader:
        return None
    record = records[leader]
    rounds = {
        party: Checkpoints(run.checkpoints).rounds()[-1:]
        for party, run in runs.items()
        if party in records and records[party].run == record.run
    }
    if not rounds[leader]:
        return None
    if FailurePolicy.of(record.meta).quorum:  # others may have been left behind
        return record.run, rounds[leader][-1]
    return record.run, min(newest for found in rounds.values() for newest in found)


def newest_runs(plan: Plan, folder: Path) -> dict[str, RunFolder]:
    """Each party's newest run, of those that had one."""
    found = {}
    for party in plan.nodes:
        last = PartyFolder(party_folder(folder, plan.task, party)).last_run
        if last is not None:
            found[party] = last
    return found
