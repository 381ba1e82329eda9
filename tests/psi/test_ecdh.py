"""ECDH intersection: exact against Python's sets, deaf to malformed messages, silent about ids."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings

from playground_ext.errors import MalformedPayload, ProtocolError
from playground_ext.psi import ecdh
from playground_ext.psi.buckets import Buckets
from playground_ext.psi.hashing import Domain, fresh_nonce
from playground_ext.psi.ids import normalise
from playground_ext.psi.matching import shuffled

PRIME = 2**255 - 19
NOWHERE = Path("/nowhere")  # so few tags stay in memory


def run(mine, theirs, domain, *, block_ids=ecdh.BLOCK_IDS):
    """The whole protocol; the common ids as the initiator and the collaborator find them, and all messages."""
    own, other = normalise(mine), normalise(theirs)
    initiator, collaborator = shuffled(own), shuffled(other)
    a, b = ecdh.Secret.fresh(), ecdh.Secret.fresh()
    transcript = []

    def sent(blocks):
        for block in blocks:
            transcript.append(block)
            yield block

    asked = sent(ecdh.blind_blocks(initiator, a, domain, block_ids=block_ids))
    offered = sent(ecdh.blind_blocks(collaborator, b, domain, block_ids=block_ids))
    with Buckets(NOWHERE, width=32, mine_count=len(own), theirs_count=len(other)) as buckets:
        for answered in sent(ecdh.reblind_blocks(asked, b, count=len(own))):
            buckets.add_mine(answered)
        for raised in ecdh.reblind_blocks(offered, a, count=len(other)):  # stays with the initiator
            buckets.add_theirs(raised)
        (both,) = buckets.matches()
    at_initiator = [own[index] for index in initiator.original(both.mine)]
    at_collaborator = [other[index] for index in collaborator.original(both.theirs)]
    return at_initiator, at_collaborator, transcript


def common(mine, theirs):
    return set(normalise(mine)) & set(normalise(theirs))


def test_the_result_is_that_of_python_sets(both_lists, domain):
    at_initiator, at_collaborator, _ = run(*both_lists, domain)
    assert at_initiator == at_collaborator  # in the same order, so that rows can be aligned
    assert set(at_initiator) == common(*both_lists)
    assert len(at_initiator) == len(common(*both_lists))


def test_long_lists_in_several_blocks_intersect_exactly(people, domain):  # 10,000 ids: test_psi_scheduler.py
    mine, theirs = people(1_500)
    at_initiator, at_collaborator, _ = run(mine, theirs, domain, block_ids=600)
    assert at_initiator == at_collaborator
    assert set(at_initiator) == common(mine, theirs)
    assert len(at_initiator) == 750


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=4)), st.lists(st.text(max_size=4)), st.integers(1, 5))
def test_any_lists_in_blocks_of_any_size_intersect_exactly(mine, theirs, block_ids):
    at_initiator, at_collaborator, _ = run(mine, theirs, Domain("t", bytes(32), bytes(32)), block_ids=block_ids)
    assert at_initiator == at_collaborator
    assert set(at_initiator) == common(mine, theirs)


def test_messages_hold_no_id_and_no_unblinded_hash(people, domain):
    mine, theirs = people(40)
    _, _, transcript = run(mine, theirs, domain, block_ids=16)
    ids = list(normalise([*mine, *theirs]))
    for message, secret in itertools.product(transcript, [*ids, *ecdh.hash_to_curve(ids, domain)]):
        assert secret not in message
    for digest in domain.hashes(ids, 64, b"ecdh/curve25519/shake256/elligator2"):
        assert not any(digest[:32] in message or digest[32:] in message for message in transcript)


def test_another_task_attempt_or_secret_has_nothing_in_common():
    nonces = fresh_nonce(), fresh_nonce()
    secret = ecdh.Secret.fresh()
    domains = [Domain("t", *nonces), Domain("u", *nonces), Domain("t", *reversed(nonces)), Domain("tt", *nonces)]
    points = [ecdh.blind([b"a"], secret, each) for each in domains]
    points.append(ecdh.blind([b"a"], ecdh.Secret.fresh(), domains[0]))
    assert len(set(points)) == 5
    assert ecdh.blind([b"a"], secret, domains[0]) == points[0]


def test_hashes_are_in_the_prime_order_group_and_have_the_coordinate_that_libsodium_computes(domain):
    ids = [b"%d" % i for i in range(50)]
    digests = domain.hashes(ids, 64, b"ecdh/curve25519/shake256/elligator2")
    for digest, coordinate in zip(digests, ecdh.hash_to_curve(ids, domain), strict=True):
        halves = (bindings.crypto_core_ed25519_from_uniform(half) for half in (digest[:32], digest[32:]))
        point = bindings.crypto_core_ed25519_add(*halves)
        assert bindings.crypto_core_ed25519_is_valid_point(point)  # on the curve, in the main subgroup
        assert bindings.crypto_sign_ed25519_pk_to_curve25519(point) == coordinate


def test_threads_change_nothing_but_time(domain):
    ids = [b"%d" % i for i in range(1000)]
    secret = ecdh.Secret.fresh()
    points = ecdh.blind(ids, secret, domain, threads=1)
    assert points == ecdh.blind(ids, secret, domain, threads=3)
    assert ecdh.reblind(points, secret, count=1000, threads=1) == ecdh.reblind(points, secret, count=1000, threads=3)


@pytest.mark.parametrize(
    ("u", "why"),
    [
        (0, "small order"),
        (1, "small order"),  # order 4
        (325606250916557431795983626356110631294008115727848805560023387167927233504, "small order"),  # order 8
        (2, "not on the curve"),  # 2³ + 486662·2² + 2 is no square: a point of the twist
        (PRIME - 1, "small order|not on the curve"),
        (PRIME, "out of range"),
        (PRIME + 9, "out of range"),  # 9 is the base point, not reduced
        (2**255 + 9, "out of range"),
        (2**256 - 1, "out of range"),
    ],
)
def test_points_that_no_honest_party_sends_are_refused(u, why):
    with pytest.raises(MalformedPayload, match=why):
        ecdh.reblind(u.to_bytes(32, "little"), ecdh.Secret.fresh(), count=1)


def test_one_bad_point_among_many_is_refused_by_any_thread(domain):
    points = bytearray(ecdh.blind([b"%d" % i for i in range(1000)], ecdh.Secret.fresh(), domain))
    points[32 * 777 : 32 * 778] = bytes(32)
    with pytest.raises(MalformedPayload):
        ecdh.reblind(points, ecdh.Secret.fresh(), count=1000)


@pytest.mark.parametrize("size", [0, 31, 33, 63, 96])
def test_a_message_of_the_wrong_size_is_refused(size):
    with pytest.raises(MalformedPayload, match="2 items of 32 bytes were expected"):
        ecdh.reblind(bytes(size), ecdh.Secret.fresh(), count=2)


def test_blocks_hold_exactly_the_announced_number_of_points(domain):
    secret = ecdh.Secret.fresh()
    blocks = list(ecdh.blind_blocks(shuffled(normalise(range(10))), secret, domain, block_ids=4))
    assert [len(block) // 32 for block in blocks] == [4, 4, 2]
    with pytest.raises(ProtocolError, match="only 9 were announced"):
        list(ecdh.reblind_blocks(blocks, secret, count=9))
    with pytest.raises(ProtocolError, match="only 10 came"):
        list(ecdh.reblind_blocks(blocks, secret, count=11))
    for bad in (b"", bytes(33)):
        with pytest.raises(MalformedPayload, match="whole items"):
            list(ecdh.reblind_blocks([bad], secret, count=1))


def test_progress_counts_ids(domain):
    mine = shuffled(normalise(range(10)))
    seen: list[int] = []
    blocks = ecdh.blind_blocks(mine, ecdh.Secret.fresh(), domain, block_ids=4, progress=seen.append)
    list(ecdh.reblind_blocks(blocks, ecdh.Secret.fresh(), count=10, progress=lambda done: seen.append(-done)))
    assert seen == [-4, 4, -8, 8, -10, 10]


def test_secrets_are_fresh_and_do_not_leave_the_process():
    secret = ecdh.Secret.fresh()
    assert repr(secret) == str(secret) == "Secret(…)"
    with pytest.raises(TypeError, match="does not leave"):
        pickle.dumps(secret)
    with pytest.raises(ValueError, match="32 bytes"):
        ecdh.Secret(b"short")


def test_a_nonce_of_the_wrong_size_is_refused():
    with pytest.raises(ProtocolError, match="collaborator's nonce"):
        Domain("t", bytes(32), bytes(16))
