"""Blind-signature intersection: exact against Python's sets, deaf to malformed messages, silent about ids."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from playground_ext.errors import ConfigError, MalformedPayload, ProtocolError
from playground_ext.psi import openssl, rsa
from playground_ext.psi.buckets import Buckets
from playground_ext.psi.hashing import Domain, fresh_nonce
from playground_ext.psi.ids import normalise
from playground_ext.psi.matching import shuffled

NOWHERE = Path("/nowhere")  # so few tags stay in memory
FIXED = Domain("t", bytes(32), bytes(32))


@pytest.fixture(scope="module")
def key() -> rsa.SigningKey:
    return rsa.SigningKey.generate(2048)


def run(mine, theirs, key, domain, *, block_ids=rsa.BLOCK_IDS):
    """The whole protocol; the common ids as the initiator and the collaborator find them, and all messages."""
    own, other = normalise(mine), normalise(theirs)
    initiator, collaborator = shuffled(own), shuffled(other)
    transcript = [key.public.to_bytes()]
    public = rsa.PublicKey.from_bytes(transcript[0])
    asked = [rsa.blind(block, public, domain) for block in initiator.blocks(block_ids)]
    signed = list(rsa.sign_blocks([message for message, _ in asked], key, count=len(own)))
    offered = list(rsa.tag_blocks(collaborator, key, domain, block_ids=block_ids))
    transcript += [*(message for message, _ in asked), *signed, *offered]
    found = b"".join(
        rsa.unblind(answer, blinding, public, domain) for answer, (_, blinding) in zip(signed, asked, strict=True)
    )
    with Buckets(NOWHERE, width=rsa.TAG_BYTES, mine_count=len(own), theirs_count=len(other)) as buckets:
        buckets.add_mine(found)
        buckets.add_theirs(b"".join(offered))
        (both,) = buckets.matches()
    at_initiator = [own[index] for index in initiator.original(both.mine)]
    at_collaborator = [other[index] for index in collaborator.original(both.theirs)]
    return at_initiator, at_collaborator, transcript


def common(mine, theirs):
    return set(normalise(mine)) & set(normalise(theirs))


def test_the_result_is_that_of_python_sets(both_lists, key, domain):
    at_initiator, at_collaborator, _ = run(*both_lists, key, domain)
    assert at_initiator == at_collaborator  # in the same order, so that rows can be aligned
    assert set(at_initiator) == common(*both_lists)
    assert len(at_initiator) == len(common(*both_lists))


def test_long_lists_in_several_blocks_intersect_exactly(people, key, domain):
    mine, theirs = people(700)
    at_initiator, at_collaborator, _ = run(mine, theirs, key, domain, block_ids=300)
    assert at_initiator == at_collaborator
    assert set(at_initiator) == common(mine, theirs)


@pytest.mark.parametrize("bits", [3072, 4096])
def test_longer_keys_intersect_exactly(bits, people, domain):
    mine, theirs = people(10)
    at_initiator, _, transcript = run(mine, theirs, rsa.SigningKey.generate(bits), domain)
    assert set(at_initiator) == common(mine, theirs)
    assert len(transcript[1]) == 10 * bits // 8


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(max_size=4), max_size=8), st.lists(st.text(max_size=4), max_size=8), st.integers(1, 5))
def test_any_lists_in_blocks_of_any_size_intersect_exactly(key, mine, theirs, block_ids):
    at_initiator, at_collaborator, _ = run(mine, theirs, key, FIXED, block_ids=block_ids)
    assert at_initiator == at_collaborator
    assert set(at_initiator) == common(mine, theirs)


def test_messages_hold_no_id_and_no_unblinded_hash(people, key, domain):
    mine, theirs = people(20)
    _, _, transcript = run(mine, theirs, key, domain, block_ids=8)
    ids = list(normalise([*mine, *theirs]))
    width, n = key.public.width, key.public.modulus
    raw = list(domain.hashes(ids, width + 16, b"rsa/fdh", key.public.to_bytes()))
    hashes = [(int.from_bytes(digest, "big") % n).to_bytes(width, "big") for digest in raw]
    signatures = [(int(s)).to_bytes(width, "big") for s in key.sign([int.from_bytes(each, "big") for each in hashes])]
    for message, secret in itertools.product(transcript, [*ids, *raw, *hashes, *signatures]):
        assert secret not in message


def test_openssl_and_gmp_sign_alike_and_as_python_does(key, monkeypatch):
    numbers = [2, 3**900 % key.public.modulus, key.public.modulus - 2]
    with_openssl = key.sign(numbers)
    monkeypatch.setattr(openssl, "load", lambda: None)
    with_gmp = key.sign(numbers)
    assert with_openssl == with_gmp
    assert [pow(int(s), 65537, key.public.modulus) for s in with_gmp] == numbers


def test_the_openssl_of_this_python_is_found():
    assert openssl.load() is not None


def test_the_protocol_also_runs_without_openssl(key, people, domain, monkeypatch):
    monkeypatch.setattr(openssl, "load", lambda: None)
    mine, theirs = people(30)
    assert set(run(mine, theirs, key, domain)[0]) == common(mine, theirs)


def test_blinding_is_fresh_each_time(key):
    first, second = (rsa.blind([b"a", b"b"], key.public, FIXED)[0] for _ in range(2))
    assert len({first[:256], first[256:], second[:256], second[256:]}) == 4


def test_another_task_attempt_or_key_gives_other_tags(key):
    nonces = fresh_nonce(), fresh_nonce()
    domains = [Domain("t", *nonces), Domain("u", *nonces), Domain("t", *reversed(nonces))]
    found = [rsa.tags([b"a"], key, domain) for domain in domains]
    found.append(rsa.tags([b"a"], rsa.SigningKey.generate(), domains[0]))
    assert len(set(found)) == 4
    assert rsa.tags([b"a"], key, domains[0]) == found[0]


@pytest.mark.parametrize("which", [0, 1, -1, None])
def test_blinded_numbers_out_of_range_are_not_signed(which, key):
    n = key.public.modulus
    number = 2**2048 - 1 if which is None else which % n
    with pytest.raises(MalformedPayload, match="out of range"):
        rsa.sign_blinded(number.to_bytes(256, "big"), key, count=1)


@pytest.mark.parametrize("size", [0, 255, 257, 512])
def test_messages_of_the_wrong_size_are_refused(size, key):
    _, blinding = rsa.blind([b"a"], key.public, FIXED)
    with pytest.raises(MalformedPayload, match="1 items of 256 bytes"):
        rsa.sign_blinded(bytes(size), key, count=1)
    with pytest.raises(MalformedPayload, match="1 items of 256 bytes"):
        rsa.unblind(bytes(size), blinding, key.public, FIXED)


def test_no_more_numbers_are_signed_than_were_announced(key):
    blocks = [rsa.blind([b"%d" % i], key.public, FIXED)[0] for i in range(3)]
    signed = rsa.sign_blocks(blocks, key, count=2)
    assert len(next(signed)) == len(next(signed)) == 256
    with pytest.raises(ProtocolError, match="only 2 were announced"):
        next(signed)
    with pytest.raises(ProtocolError, match="only 3 came"):
        list(rsa.sign_blocks(blocks, key, count=4))


def test_signatures_that_are_wrong_swapped_or_replayed_are_refused(key):
    blinded, blinding = rsa.blind([b"a", b"b"], key.public, FIXED)
    good = rsa.sign_blinded(blinded, key, count=2)
    earlier = rsa.sign_blinded(rsa.blind([b"a", b"b"], key.public, FIXED)[0], key, count=2)
    assert rsa.unblind(good, blinding, key.public, FIXED) == rsa.tags([b"a", b"b"], key, FIXED)
    for wrong in (good[256:] + good[:256], earlier, good[:-1] + bytes([good[-1] ^ 1]), blinded):
        with pytest.raises(ProtocolError, match="signature is wrong"):
            rsa.unblind(wrong, blinding, key.public, FIXED)
    with pytest.raises(ProtocolError, match="another attempt"):
        rsa.unblind(good, blinding, key.public, Domain("t", bytes(32), fresh_nonce()))
    for number in (0, 1, key.public.modulus - 1, 2**2048 - 1):
        with pytest.raises(MalformedPayload, match="out of range"):
            rsa.unblind(good[:256] + number.to_bytes(256, "big"), blinding, key.public, FIXED)


@pytest.mark.parametrize("bits", [0, 512, 1024, 2047, 2049, 16384])
def test_short_and_odd_key_lengths_are_not_offered(bits):
    with pytest.raises(ConfigError, match="not offered"):
        rsa.SigningKey.generate(bits)


def test_keys_that_no_honest_party_sends_are_refused(key):
    good = key.public.to_bytes()
    assert rsa.PublicKey.from_bytes(good) == key.public
    short = generate_private_key(65537, 1024).public_key().public_numbers().n
    wrong = [b"", short.to_bytes(128, "big"), b"\0" + good, bytes(256), good[:-1] + b"\0", b"\xff" * 4096, good[:-1]]
    for message in [*wrong, short.to_bytes(256, "big")]:
        with pytest.raises(ProtocolError):
            rsa.PublicKey.from_bytes(message)


def test_a_modulus_with_small_factors_is_found_out():
    smooth = 3**1292  # 2048 bits, and a third of all numbers have no inverse
    assert smooth.bit_length() == 2048
    with pytest.raises(ProtocolError, match="small factors"):
        rsa.blind([b"%d" % i for i in range(100)], rsa.PublicKey(smooth), FIXED)


def test_a_key_with_another_exponent_is_refused():
    with pytest.raises(ConfigError, match="65537"):
        rsa.SigningKey(generate_private_key(3, 2048))


def test_progress_counts_ids(key):
    own = shuffled(normalise(range(5)))
    seen: list[int] = []
    list(rsa.tag_blocks(own, key, FIXED, block_ids=2, progress=seen.append))
    assert seen == [2, 4, 5]


def test_threads_change_nothing_but_time(key):
    ids = [b"%d" % i for i in range(300)]  # more than a thread takes at a time
    assert rsa.tags(ids, key, FIXED, threads=1) == rsa.tags(ids, key, FIXED, threads=3)


def test_secrets_do_not_leave_the_process(key):
    _, blinding = rsa.blind([b"patient-7"], key.public, FIXED)
    assert repr(key) == "SigningKey(2048 bits, …)"
    assert repr(blinding) == "Blinding()"
    for secret in (key, blinding):
        with pytest.raises(TypeError, match="does not leave"):
            pickle.dumps(secret)


def test_ids_of_a_blinding_and_numbers_of_a_key_are_hidden_from_reprs(key):
    assert str(key.public.modulus) not in repr(key.public)
