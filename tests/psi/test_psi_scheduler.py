"""Intersections between real processes over a real server, compared with Python's sets."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import redis

PARTIES = Path(__file__).with_name("psi_parties.py")


def _play(federation: Any, protocol: str, *lists: list[str], **options: Any) -> dict[str, Any]:
    parties = {}
    for index, ids in enumerate(lists):
        side = "Collaborator" if index else "Initiator"
        name = f"collaborator-{index}" if index else "initiator"
        parties[name] = ("intersect", {"kind": f"{protocol}PSI{side}Scheduler", "ids": ids, **options})
    return federation(PARTIES, parties)


def _common(*lists: list[str]) -> set[str]:
    return set.intersection(*({unicodedata.normalize("NFC", value) for value in ids} for ids in lists))


def _canonical(ids: list[str]) -> list[str]:
    return [unicodedata.normalize("NFC", value) for value in ids]


@pytest.mark.parametrize("protocol", ["ECDH", "RSA"])
def test_both_parties_get_the_intersection_in_their_own_order_and_spelling(federation, protocol):
    mine = ["Zoë", "b", "", "b", *(f"person-{i}" for i in range(40))]
    theirs = [*(f"person-{i}" for i in range(60, 20, -1)), "Zoe\u0308", "c", ""]

    answers = _play(federation, protocol, mine, theirs)

    common = _common(mine, theirs)
    assert len(common) == 21
    assert answers["initiator"]["common"] == [value for value in dict.fromkeys(mine) if value in common]
    assert answers["collaborator-1"]["common"] == [
        value for value in theirs if unicodedata.normalize("NFC", value) in common
    ]
    assert answers["initiator"]["file"].splitlines()[:2] == ["id", "Zoë"]


@pytest.mark.parametrize("protocol", ["ECDH", "RSA"])
@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (1, 1)], ids=str)
def test_small_lists_end_as_large_ones_do(federation, protocol, sizes):
    mine, theirs = ([f"id-{i}" for i in range(size)] for size in sizes)

    answers = _play(federation, protocol, mine, theirs)

    assert answers["initiator"]["common"] == mine[: min(sizes)]
    assert answers["collaborator-1"]["common"] == theirs[: min(sizes)]


@pytest.mark.parametrize("protocol", ["ECDH", "RSA"])
def test_ids_of_a_megabyte_cost_no_more_bytes_than_short_ones(federation, protocol):
    long = ["x" * (1 << 20), "y" * (1 << 20), "z" * ((1 << 20) - 1) + "1"]
    theirs = [long[1], "z" * ((1 << 20) - 1) + "2", "short"]

    answers = _play(federation, protocol, long, theirs)

    assert [len(value) for value in answers["initiator"]["common"]] == [1 << 20]
    assert answers["initiator"]["common"] == answers["collaborator-1"]["common"] == [long[1]]
    assert max(answers["initiator"]["sent"], answers["initiator"]["received"]) < 2_000


def test_an_id_that_is_too_long_is_refused_without_being_quoted(federation):
    answers = _play(federation, "ECDH", ["a"], ["a", "secret" * 200_000])

    assert answers["collaborator-1"].error == "ConfigError"
    for answer in answers.values():
        said = answer.text.splitlines()[0]  # below are the lines of this test's own script, with its lists
        assert "id number 1: an id has 1,200,000 bytes; at most 1,048,576 are supported" in said
        assert "secret" not in said


def test_ten_thousand_ids_travel_in_blocks(federation):
    mine = [f"person-{i}" for i in range(10_000)]
    theirs = [f"person-{i}" for i in range(2_000, 12_000)]

    answers = _play(federation, "ECDH", mine, theirs)

    assert answers["initiator"]["common"] == mine[2_000:]
    assert answers["collaborator-1"]["common"] == theirs[:8_000]
    # 32 bytes for each of its own points, plus 4 for each common id at the end
    assert answers["initiator"]["sent"] == 32 * 10_000 + 4 * 8_000
    # its own points, and the initiator's on their way back
    assert answers["initiator"]["received"] == 2 * 32 * 10_000


def test_blocks_that_are_acknowledged_early_still_arrive(federation, monkeypatch):
    # RSA blocks are larger than what travels inline: 300 ids of 256 bytes lie on the server until they are fetched
    monkeypatch.setenv("RSA_BLOCK_IDS", "300")
    monkeypatch.setenv("ACKNOWLEDGE_EVERY", "70_000")
    mine, theirs = [f"{i}" for i in range(650)], [f"{i}" for i in range(325, 975)]

    answers = _play(federation, "RSA", mine, theirs)

    assert answers["initiator"]["common"] == answers["collaborator-1"]["common"] == mine[325:]


def test_more_than_two_parties_meet_in_a_star(federation):
    lists = [[f"{i}" for i in range(start, start + 60)] for start in (0, 20, 10, 30)]

    answers = _play(federation, "ECDH", *lists)

    common = _common(*lists)
    assert len(common) == 30
    for answer in answers.values():
        assert set(answer["common"]) == common
    assert "collaborator-1, collaborator-2, collaborator-3" in answers["initiator"]["learned"]["initiator"]
    assert "brought 40 ids" in answers["collaborator-2"]["learned"]["collaborator-2"]


def test_a_collaborator_that_is_not_told_learns_only_a_number(federation):
    answers = _play(federation, "ECDH", ["a", "b"], ["b", "c", "d"], share_result=False)

    assert answers["initiator"]["common"] == ["b"]
    assert answers["collaborator-1"]["common"] is None
    assert answers["collaborator-1"]["file"] is None
    assert answers["collaborator-1"]["learned"]["collaborator-1"] == "that initiator brought 2 ids"


def test_time_bytes_and_what_each_party_learned_are_reported(federation):
    report = _play(federation, "RSA", ["a", "b"], ["b", "c", "d"])["initiator"]["report"]

    time_and_bytes, *learned = report.splitlines()
    # sent: 2 blinded numbers of 256 bytes and one place; received: key, 2 signatures, 3 tags of 16 bytes
    assert "516 bytes sent, 816 bytes received" in time_and_bytes
    assert learned == [
        "initiator learned which of its 2 ids all parties have, and that collaborator-1 has 3 ids; "
        "not what the others are",
        "collaborator-1 learned that initiator brought 2 ids, and which of its ids all parties have; "
        "not what the others are",
    ]


@pytest.mark.parametrize("protocol", ["ECDH", "RSA"])
def test_no_envelope_holds_an_id_or_a_hash_that_could_be_guessed(federation, server, protocol):
    mine, theirs = [f"secret-person-{i}" for i in range(50)], [f"secret-person-{i}" for i in range(25, 75)]

    _play(federation, protocol, mine, theirs)

    recorded = _everything_on(server)
    assert len(recorded) > 32 * 100
    hashes = ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b")
    for value in {*mine, *theirs}:
        plain = value.encode()
        digests = [hashlib.new(name, plain).digest() for name in hashes] + [hashlib.shake_256(plain).digest(64)]
        for found in (plain, *digests):
            assert found not in recorded
            assert found.hex().encode() not in recorded
            assert found[:16] not in recorded


def test_the_same_task_again_sends_other_bytes_for_the_same_ids(federation, server):
    streams = []
    for _ in range(2):
        _play(federation, "ECDH", ["a"], ["a"])
        streams.append(_everything_on(server, kind=b"psi-blinded"))
        redis.Redis.from_url(server.url).flushall()

    assert len(streams[0]) == len(streams[1]) == 2 * 32
    points = {stream[place : place + 32] for stream in streams for place in (0, 32)}
    assert len(points) == 4


def test_different_protocols_are_named(federation):
    answers = federation(
        PARTIES,
        {
            "initiator": ("intersect", {"kind": "ECDHPSIInitiatorScheduler", "ids": ["a"]}),
            "collaborator-1": ("other_protocol", {"ids": ["a"]}),
        },
    )

    said = {
        "ProtocolError": "initiator intersects by 'ecdh', this party by 'rsa'",
        "PartyFailed": "collaborator-1 intersects by 'rsa', this party by 'ecdh'",  # that one saw it first
    }
    assert said[answers["collaborator-1"].error] in answers["collaborator-1"].text


def test_rsa_and_ecdh_schedulers_do_not_fit_together(federation):
    answers = federation(
        PARTIES,
        {
            "initiator": ("intersect", {"kind": "ECDHPSIInitiatorScheduler", "ids": ["a"]}),
            "collaborator-1": ("intersect", {"kind": "RSAPSICollaboratorScheduler", "ids": ["a"]}),
        },
    )

    assert answers["collaborator-1"].error == "ConfigError"
    assert "the initiator runs ECDH-PSI, this notebook RSA-PSI" in answers["collaborator-1"].text


def _everything_on(server: Any, *, kind: bytes = b"") -> bytes:
    """All that the server saw from the parties' data and control streams; of one kind only the payloads."""
    client = redis.Redis.from_url(server.url)
    found = b""
    for key in client.scan_iter():
        if client.type(key) != b"stream" or b":log" in key:
            continue
        for _, fields in client.xrange(key):
            if not kind:
                found += b"".join(fields.values())
            elif b'"kind":"' + kind + b'"' in fields.get(b"h", b""):
                found += fields[b"p"]
    return found


def test_memory_grows_by_no_more_than_is_promised(federation):
    kinds = {"initiator": "ECDHPSIInitiatorScheduler", "collaborator-1": "ECDHPSICollaboratorScheduler"}
    counts = [100, 1_500, 4_000]  # the first intersection imports what is needed

    answers = federation(
        PARTIES, {party: ("memory", {"kind": kind, "counts": counts}) for party, kind in kinds.items()}
    )

    for party, most in answers.items():
        growth = (most[4_000] - most[1_500]) / 2_500
        assert 8 < growth < 32, f"{party}: {growth:.1f} bytes an id"  # see the package's docstring


def test_a_full_disk_is_named_with_its_party_and_folder(federation, tmp_path):
    ids = [f"{number}" for number in range(1_000)]

    answers = federation(
        PARTIES,
        {
            "initiator": ("on_a_full_disk", {"kind": "ECDHPSIInitiatorScheduler", "ids": ids, "free": 40_000}),
            "collaborator-1": ("intersect", {"kind": "ECDHPSICollaboratorScheduler", "ids": ids}),
        },
    )

    assert answers["initiator"].error == "StorageError"  # 2,000 tags of 36 bytes are more
    said = answers["initiator"].text
    assert f"the disk is full ({tmp_path / 'home' / 'task' / 'initiator'}" in said
    assert "party initiator" in said
    assert answers["collaborator-1"].error == "PartyFailed"
    assert "could not keep the tags of an intersection" in answers["collaborator-1"].text
