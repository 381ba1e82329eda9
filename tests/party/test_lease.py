from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from playground_ext.errors import DuplicateParty
from playground_ext.party.lease import Lease, is_held

HOLD = """
import sys
from pathlib import Path
from playground_ext.party.lease import Lease
Lease(Path(sys.argv[1]), party="alice", task="t", notebook="alice.ipynb").acquire()
print("held", flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lease_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    with holder(path) as process:
        assert is_held(path)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

        assert not is_held(path)


def test_a_second_notebook_of_the_same_party_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    with holder(path) as process:
        with pytest.raises(
            DuplicateParty, match=rf"alice already takes part in task t \(process {process.pid}, alice.ipynb"
        ):
            Lease(path, party="alice", task="t").acquire()
        assert is_held(path)
        process.kill()


def test_a_forked_worker_that_outlives_its_parent_keeps_nothing_alive(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    forking = HOLD.replace('print("held"', 'import os, time\nif os.fork() == 0: time.sleep(30)\nprint("held"')
    process = subprocess.Popen(
        [sys.executable, "-c", forking, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "held\n"
    try:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)

        assert not is_held(path)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.stdin.close()


def test_two_parties_in_one_process_are_told_apart(tmp_path: Path) -> None:
    first = Lease(tmp_path / "lease", party="alice", task="t")
    first.acquire()
    assert is_held(tmp_path / "lease")
    with pytest.raises(DuplicateParty):
        Lease(tmp_path / "lease", party="alice", task="t").acquire()
    first.release()

    assert not is_held(tmp_path / "lease")
    second = Lease(tmp_path / "lease", party="alice", task="t")
    second.acquire()
    second.release()


def test_nobody_holds_a_lease_that_was_never_taken(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "nothing")
