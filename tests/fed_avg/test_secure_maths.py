"""Fixed point and masks: sums are exact, masks cancel for every set of survivors, and a masked vector says nothing."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from playground_ext.errors import AggregationError, MalformedPayload, ProtocolError, TooFewSurvivors
from playground_ext.fed_avg.aggregation import Update, weighted_average
from playground_ext.fed_avg.fixed_point import decode_mean, encode_weighted, largest, words_of
from playground_ext.fed_avg.masking import Domain, PublicKeys, RoundSecret, Shares, unmask

DOMAIN = Domain("task", "run", 3)


class Round:
    """All parties of a round in one process, to the point where those that survive have sent their vectors."""

    def __init__(self, vectors: dict[str, np.ndarray], threshold: int, domain: Domain = DOMAIN) -> None:
        self.vectors, self.threshold, self.domain = vectors, threshold, domain
        self.secrets = {party: RoundSecret.fresh(party, domain) for party in vectors}
        self.roster = {party: secret.public for party, secret in self.secrets.items()}
        sealed = {p: s.seal_shares(self.roster, threshold=threshold) for p, s in self.secrets.items()}
        self.shares = {
            party: secret.open_shares({other: sealed[other][party] for other in vectors if other != party}, self.roster)
            for party, secret in self.secrets.items()
        }

    def masked(self, party: str) -> np.ndarray:
        return self.secrets[party].mask(self.vectors[party], self.roster)

    def reveal(self, survivors: Sequence[str], answering: Sequence[str]) -> dict[str, dict[str, bytes]]:
        def piece(held: Shares, owner: str) -> bytes:
            return held.own_mask if owner in survivors else held.mask_key

        return {
            owner: {party: piece(self.shares[party][owner], owner) for party in answering} for owner in self.vectors
        }

    def sum(self, survivors: Sequence[str], answering: Sequence[str] | None = None) -> np.ndarray:
        total = np.zeros_like(next(iter(self.vectors.values())))
        for party in survivors:
            total += self.masked(party)
        return unmask(
            total,
            roster=self.roster,
            dropped=[party for party in self.vectors if party not in survivors],
            revealed=self.reveal(survivors, survivors if answering is None else answering),
            threshold=self.threshold,
            domain=self.domain,
        )


def vectors(count: int, size: int, seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {f"c{n}": generator.integers(0, 2**64, size, dtype=np.uint64) for n in range(count)}


@settings(max_examples=15, deadline=None)
@given(count=st.integers(2, 5), size=st.integers(0, 40), seed=st.integers(0, 2**32))
def test_masks_cancel_exactly_when_nobody_drops_out(count: int, size: int, seed: int) -> None:
    given = vectors(count, size, seed)

    total = Round(given, threshold=2).sum(list(given))

    assert np.array_equal(total, sum(given.values(), np.zeros(size, np.uint64)))  # modulo 2^64, as NumPy adds


@pytest.mark.parametrize("threshold", [2, 3, 4])
def test_every_set_of_survivors_from_the_threshold_on_gives_its_sum(threshold: int) -> None:
    given = vectors(4, 7, seed=threshold)
    played = Round(given, threshold)

    for count in range(threshold, 5):
        for survivors in combinations(given, count):
            expected = sum((given[party] for party in survivors), np.zeros(7, np.uint64))
            assert np.array_equal(played.sum(survivors), expected), survivors


def test_as_many_answers_as_the_threshold_are_enough() -> None:
    given = vectors(5, 3, seed=0)
    survivors = ["c0", "c1", "c3", "c4"]

    total = Round(given, threshold=3).sum(survivors, answering=["c0", "c3", "c4"])

    assert np.array_equal(total, sum((given[party] for party in survivors), np.zeros(3, np.uint64)))


@pytest.mark.parametrize("survivors", [["c0"], ["c1", "c3"]])
def test_below_the_threshold_nothing_is_uncovered(survivors: list[str]) -> None:
    with pytest.raises(TooFewSurvivors, match=r"c0's secret cannot be put together: \d shares are here"):
        Round(vectors(4, 3, seed=0), threshold=3).sum(survivors)


def test_a_mask_longer_than_a_block_cancels_too() -> None:
    given = vectors(2, (1 << 17) + 5, seed=0)

    assert np.array_equal(Round(given, threshold=2).sum(["c0", "c1"]), given["c0"] + given["c1"])


def test_a_masked_vector_looks_like_random_numbers_and_is_another_one_in_every_round() -> None:
    size = 50_000
    zeros = {party: np.zeros(size, np.uint64) for party in ("c0", "c1", "c2")}
    masked = [Round(zeros, threshold=2).masked("c0") for _ in range(2)]

    assert not (masked[0] == masked[1]).any()  # equal words: expected 50,000 / 2^64
    ones = np.unpackbits(masked[0].view(np.uint8)).mean()
    assert ones == pytest.approx(0.5, abs=6 * 0.5 / np.sqrt(64 * size))  # binomial error of a fair coin


def test_a_late_vector_stays_masked_although_its_pairwise_masks_are_known() -> None:
    """Why there is a second mask: the aggregator may get a vector after it has recovered the sender's mask key."""
    nothing = np.zeros(1000, np.uint64)
    played = Round(dict.fromkeys(("c0", "c1", "c2"), nothing), threshold=2)
    late = played.masked("c2")
    alone = played.secrets["c2"].mask(nothing, {})  # only c2's own mask

    pairwise = late - alone  # what follows from c2's mask key, of which the survivors reveal their shares

    assert (pairwise != 0).all()
    assert (late - pairwise != 0).all()


def test_keys_and_seeds_are_fresh_and_bound_to_party_and_round() -> None:
    root = bytes(range(32))
    domains = [DOMAIN, Domain("task", "run", 4), Domain("task", "other", 3), Domain("task", "run", 3, attempt=1)]
    public = [RoundSecret(root, "c0", domain).public for domain in domains] + [RoundSecret(root, "c1", DOMAIN).public]

    assert len({bytes(keys) for keys in public}) == 5
    assert RoundSecret(root, "c0", DOMAIN).public == public[0]  # a party that was killed says the same again
    assert RoundSecret.fresh("c0", DOMAIN).public != RoundSecret.fresh("c0", DOMAIN).public


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = RoundSecret.fresh("c0", DOMAIN)

    assert secret.root.hex() not in repr(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_shares_open_only_for_their_receiver_in_their_round() -> None:
    secrets = {party: RoundSecret.fresh(party, DOMAIN) for party in ("c0", "c1", "c2")}
    roster = {party: secret.public for party, secret in secrets.items()}
    sealed = {party: secret.seal_shares(roster, threshold=2) for party, secret in secrets.items()}

    with pytest.raises(MalformedPayload, match="the shares from c0 are not sealed for c2"):
        secrets["c2"].open_shares({"c0": sealed["c0"]["c1"]}, roster)
    later = RoundSecret(secrets["c2"].root, "c2", Domain("task", "run", 4))
    with pytest.raises(ProtocolError, match="other keys of c2"):
        later.seal_shares(roster, threshold=2)


def test_a_share_that_gives_another_key_is_noticed() -> None:
    given = vectors(4, 3, seed=1)
    played, other = Round(given, threshold=2), Round(given, threshold=2)
    survivors = ["c0", "c1", "c2"]
    revealed = played.reveal(survivors, survivors)
    revealed["c3"] = other.reveal(survivors, survivors)["c3"]  # shares of another round's key

    with pytest.raises(ProtocolError, match="the shares of c3's key give another key"):
        unmask(
            np.zeros(3, np.uint64),
            roster=played.roster,
            dropped=["c3"],
            revealed=revealed,
            threshold=2,
            domain=DOMAIN,
        )


@pytest.mark.parametrize("data", [b"", bytes(63), bytes(65)])
def test_keys_of_another_length_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedPayload, match="two X25519 keys have 64 bytes"):
        PublicKeys.parse(data)


def test_a_key_of_small_order_is_refused() -> None:
    secret = RoundSecret.fresh("c0", DOMAIN)

    with pytest.raises(MalformedPayload, match="c1 sent a key that is none"):
        secret.mask(np.zeros(1, np.uint64), {"c1": PublicKeys(bytes(32), bytes(32))})


# -- fixed point ------------------------------------------------------------------------------------------------------


def states(count: int, seed: int = 0) -> list[Update]:
    generator = torch.Generator().manual_seed(seed)
    return [
        Update(
            f"c{n}",
            10 + 7 * n,
            {
                "weight": torch.randn(20, 5, generator=generator),
                "half": torch.randn(8, generator=generator).half(),
                "count": torch.tensor(n),
                "empty": torch.empty(0),
            },
        )
        for n in range(count)
    ]


def test_the_mean_of_encoded_states_is_the_weighted_average() -> None:
    updates = states(4)
    total = sum(encode_weighted(update.state, update.samples, parties=4) for update in updates)

    samples, mean = decode_mean(total, updates[0].state)

    expected = weighted_average(updates)
    assert samples == sum(update.samples for update in updates) == 82
    # each n_k w_k is off by at most 2^-25, so their mean by 4 * 2^-25 / 82 = 1.5e-9; float32 rounds at 6e-8 of a number
    torch.testing.assert_close(mean["weight"], expected["weight"], rtol=2e-7, atol=1.5e-9)
    torch.testing.assert_close(mean["half"], expected["half"], rtol=1e-3, atol=1e-4)
    assert (mean["count"].item(), mean["count"].dtype) == (0, torch.int64)  # as in `like`
    assert {name: tensor.dtype for name, tensor in mean.items()} == {n: t.dtype for n, t in expected.items()}


@settings(max_examples=50)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=10), st.integers(1, 400))
def test_a_number_is_off_by_at_most_half_a_step(numbers: list[float], samples: int) -> None:
    state = {"w": torch.tensor(numbers, dtype=torch.float64)}
    _, mean = decode_mean(encode_weighted(state, samples, parties=1), state)

    # rounding to 2^-24 of n w, plus what float64 itself rounds
    tolerance = 2**-25 / samples + 4e-16 * 1e9
    assert np.abs(mean["w"].numpy() - np.array(numbers)).max() <= tolerance


@pytest.mark.parametrize("parties", [1, 3, 100])
def test_the_largest_numbers_of_all_parties_add_up_without_overflow(parties: int) -> None:
    value = np.nextafter(largest(parties), 0)
    state = {"w": torch.tensor([value, -value], dtype=torch.float64)}
    total = sum(encode_weighted(state, 1, parties=parties) for _ in range(parties))

    _, mean = decode_mean(total, state)
    assert mean["w"].tolist() == pytest.approx([value, -value], rel=1e-15)
    with pytest.raises(AggregationError, match=r"w times 1 samples reaches .*, which does not fit"):
        encode_weighted({"w": torch.tensor([largest(parties)], dtype=torch.float64)}, 1, parties=parties)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_named_by_their_tensor(bad: float) -> None:
    with pytest.raises(AggregationError, match=r"fc\.weight holds numbers that are not finite"):
        encode_weighted({"ok": torch.ones(1), "fc.weight": torch.tensor([1.0, bad])}, 0, parties=2)


def test_no_samples_at_all_are_an_error() -> None:
    state = {"w": torch.ones(2)}
    with pytest.raises(AggregationError, match="hold no samples"):
        decode_mean(encode_weighted(state, 0, parties=2), state)


def test_a_vector_is_one_word_for_the_samples_and_one_for_each_weight() -> None:
    state = states(1)[0].state
    assert len(encode_weighted(state, 5, parties=2)) == words_of(state) == 1 + 100 + 8
