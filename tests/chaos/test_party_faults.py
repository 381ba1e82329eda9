"""A party stands still, loses its clock, its disk or its checkpoint, comes twice, or has a bug that is mended."""

from __future__ import annotations

import os
import signal
import time

import pytest
from battlefield import difference


@pytest.mark.parametrize("party", ["aggregator", "collaborator-1"])
def test_a_party_that_stands_still_for_a_while_changes_nothing(battlefield, undisturbed, until, party):
    field = battlefield()
    field.start_all()
    until(lambda: len(field.steps(party)) >= 8)
    pid = field.process(party).pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(pid, signal.SIGCONT)

    assert field.join() == []
    assert difference(undisturbed("fed_avg").answers, field.answers()) == "", field.evidence()


@pytest.mark.parametrize("seconds", [-86400, 86400], ids=["yesterday", "tomorrow"])
def test_a_clock_that_jumps_changes_nothing(battlefield, undisturbed, seconds):
    field = battlefield()
    field.start_all(collaborator_1=("clock_jumps", 2, seconds))

    assert field.join() == []
    assert difference(undisturbed("fed_avg").answers, field.answers()) == "", field.evidence()


@pytest.mark.parametrize("place", ["checkpoints", "outbox"])
def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(
    battlefield, undisturbed, until, assert_clear, place
):
    field = battlefield()
    full, moment = field.folder / "disk-is-full", field.folder / "moment"
    deeds = [("disk_fills", place, str(full)), ("says_when", 2, str(moment))]
    for party in field.nodes:
        field.start(party, deeds=deeds if party == "collaborator-1" else [])
    until(moment.exists)
    full.touch()
    moment.unlink()
    field.process("collaborator-1").join(30)

    folder = field.run_folder("collaborator-1")
    error = field.error("collaborator-1")
    assert_clear(error, "StorageError", str(folder / place), "party collaborator-1", "round 2")
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["round-000000.pt", "round-000001.pt"]

    full.unlink()
    field.start("collaborator-1", again=True)
    assert field.join() == []
    assert difference(undisturbed("fed_avg").answers, field.answers()) == "", field.evidence()


@pytest.mark.parametrize("damage", ["cut off", "changed"])
@pytest.mark.parametrize("party", ["aggregator", "collaborator-1"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_it_used(battlefield, undisturbed, until, party, damage):
    field = battlefield()
    expected = undisturbed("fed_avg")
    at = expected.steps[party].index("after checkpoint round 2") + 1
    for node in field.nodes:
        field.start(node, **({"at": at, "target": "party"} if node == party else {}))
    field.process(party).join(30)
    newest = field.run_folder(party) / "checkpoints" / "round-000002.pt"
    content = bytearray(newest.read_bytes())
    if damage == "cut off":
        del content[len(content) // 2 :]
    else:
        middle = content.find(b"data/0") + 200  # inside a tensor, not in the archive's index
        content[middle : middle + 64] = bytes(64 * [0xA5])
    newest.write_bytes(content)
    field.start(party, again=True)

    assert field.join() == []
    assert "Going on from the checkpoint before it" in field.output(f"{party}-again")
    assert "the checkpoint of round 2 cannot be read" in field.output(f"{party}-again")
    assert difference(expected.answers, field.answers()) == "", field.evidence()


def test_a_second_notebook_of_a_living_party_is_refused(battlefield, undisturbed, until, assert_clear):
    field = battlefield()
    moment = field.folder / "moment"
    field.start_all(collaborator_1=("says_when", 2, str(moment)))
    until(moment.exists)
    field.start("collaborator-1", name="impostor")
    field.process("impostor").join(30)
    moment.unlink()

    assert_clear(field.error("impostor"), "DuplicateParty", "collaborator-1 already takes part", "process ")
    assert field.join() == []
    assert difference(undisturbed("fed_avg").answers, field.answers()) == "", field.evidence()


def test_a_zombie_whose_place_was_taken_is_told_so(battlefield, undisturbed, until, assert_clear):
    """Its lease is gone although it lives: a notebook on a machine that was suspended, its lock file removed."""
    field = battlefield()
    moment = field.folder / "moment"
    field.start_all(collaborator_1=("says_when", 2, str(moment)))
    until(moment.exists)
    zombie = field.process("collaborator-1")
    os.kill(zombie.pid, signal.SIGSTOP)
    (field.home / "chaos" / "collaborator-1" / "lease").unlink()
    moment.unlink()
    field.start("collaborator-1", again=True)
    until(lambda: "after send update round 2" in field.steps("collaborator-1-again"))
    os.kill(zombie.pid, signal.SIGCONT)

    assert field.join() == []
    assert_clear(
        field.error("collaborator-1"), "PartyReplaced", "another notebook has joined this run as collaborator-1"
    )
    assert difference(undisturbed("fed_avg").answers, field.answers()) == "", field.evidence()


def test_who_mends_a_bug_and_runs_the_cell_again_goes_on_where_it_struck(battlefield, undisturbed):
    field = battlefield()
    for party in field.nodes:
        field.start(party, **({"deeds": [("raises", 2)], "mended": True} if party == "collaborator-1" else {}))

    assert field.join() == []
    assert difference(undisturbed("fed_avg").answers, field.answers()) == "", field.evidence()
    for party in ("aggregator", "collaborator-2"):
        shown = field.output(party)
        assert "my data have a hole" in shown  # with its traceback, at everybody
        assert "collaborator-1 failed" in shown
        assert "is back" in shown


def test_who_missed_the_end_reads_it_although_another_that_missed_it_failed(battlefield, undisturbed):
    field = battlefield(recovery=False)
    field.start_all(collaborator_1=("misses_the_end",), collaborator_2=("misses_the_end",))
    assert field.join() == []
    assert sorted(field.answers()) == ["aggregator"], field.evidence()

    for party in ("collaborator-1", "collaborator-2"):
        field.start(party, again=True)
        assert field.join() == []

    assert difference(undisturbed("fed_avg").answers, field.answers()) == "", field.evidence()


def test_who_is_done_does_not_wait_for_the_former_life_of_one_that_came_back(battlefield, undisturbed):
    field = battlefield()
    at = undisturbed("fed_avg").steps["collaborator-1"].index("before receive global round 4") + 1
    for party in field.nodes:
        struck = {"at": at, "target": "party"} if party == "collaborator-1" else {}
        field.start(party, deeds=[("waits_for_last_lines", 50)], **struck)
    field.process("collaborator-1").join()
    field.start("collaborator-1", again=True)

    assert field.join(30) == [], field.evidence()
    assert difference(undisturbed("fed_avg").answers, field.answers()) == "", field.evidence()


def test_nobody_waits_longer_than_the_repair_timeout(battlefield, undisturbed, assert_clear):
    field = battlefield()
    at = undisturbed("fed_avg").steps["collaborator-1"].index("before send update round 2") + 1
    for party in field.nodes:
        struck = {"at": at, "target": "party"} if party == "collaborator-1" else {}
        field.start(party, env={"PLAYGROUND_REPAIR_TIMEOUT": "2"}, **struck)
    started = time.monotonic()

    assert field.join() == []
    assert time.monotonic() - started < 20
    for party in ("aggregator", "collaborator-2"):
        error = field.error(party)
        assert_clear(error, "PartyDied", "collaborator-1 is gone", "did not come back within 2 s", "round 2")
        assert error["text"].count("did not come back") == 1
