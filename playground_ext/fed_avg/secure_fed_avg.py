"""The protocol of secure federated averaging: FedAvg's, with masked updates. The maths is in `masking`.

round r   aggregator    --global-->     every collaborator    the global weights
          collaborator  --keys-->       aggregator            fresh public keys
          aggregator    --roster-->     every collaborator    whose keys came (at least t), and the keys
          collaborator  --shares-->     aggregator            sealed shares of its secrets
          aggregator    --delivery-->   every collaborator    whose shares came (at least t), and those sealed for it
          collaborator  --masked-->     aggregator            its weights after training, under masks
          aggregator    --survivors-->  every collaborator    whose masked weights came in time (at least t)
          collaborator  --reveal-->     aggregator            a share of a secret of each that shared
          aggregator    takes the masks off the sum, divides it, tests, and goes on
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from playground_ext.bus.envelope import Envelope
from playground_ext.errors import ConfigError, MalformedPayload, ReceiveTimeout, TooFewSurvivors
from playground_ext.fed_avg.aggregation import Update
from playground_ext.fed_avg.fixed_point import Words, decode_mean, encode_weighted, words_of
from playground_ext.fed_avg.masking import (
    PUBLIC_BYTES,
    SEALED_BYTES,
    Domain,
    PublicKeys,
    RoundSecret,
    Shares,
    unmask,
)
from playground_ext.fed_avg.round_memory import RoundMemory, forget
from playground_ext.fed_avg.scheduler import FedAvgScheduler
from playground_ext.fed_avg.secure_messages import KINDS, cut, named_parties
from playground_ext.fed_avg.shamir import SHARE_BYTES

__all__ = ["SecureFedAvgScheduler"]

logger = logging.getLogger("playground")


class SecureFedAvgScheduler(FedAvgScheduler):
    """FedAvg whose aggregator sees the sum of the updates and no single one (Bonawitz et al., 2017).

    Arguments besides those of `FedAvgScheduler`:
        t: how many collaborators must last through a round, 2 or more; their shares take off the masks of those that
            dropped out after sharing their keys. The default is a majority. Fewer collaborators together (even with
            the aggregator) cannot uncover another one's update.

    What each party learns, if all follow the protocol (semi-honest), though they look at all they get:
        the aggregator: the sum of the updates weighted by samples, the sum of the samples, who took part.
        collaborators: the averaged weights, as in FedAvg. With two collaborators each can take its own update out of
            the average and know the other's: three are the fewest that make sense.
        nobody: a collaborator's own weights or number of samples.

    What it does not protect: the averages tell about the data (see `DPFedAvgScheduler`); log lines and metrics go to
    everybody. An aggregator that breaks the protocol can hand out keys of its own, because keys are not signed. What it
    trains itself (`involve_aggregator`) it adds unmasked.

    Weights are fixed-point numbers (`fixed_point` says how precise and how large) and take 8 bytes each on the wire.
    Integer buffers stay as the aggregator has them. `aggregate` gets one update, the collaborators' mean.

    A collaborator that is late with its keys, its shares or its weights is left out of that round and may take part in
    the next one: with keys and shares after `schedule_timeout`, with weights after that and `calculation_timeout`.
    """

    kinds: ClassVar[tuple[str, ...]] = (*FedAvgScheduler.kinds, *KINDS)

    def __init__(self, t: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        if t is not None and (not isinstance(t, int) or isinstance(t, bool) or t < 2):
            raise ConfigError(
                f"t={t!r} cannot be a threshold", next_step="give 2 or more; with 1 each party could uncover any other"
            )
        self.t = t

    @property
    def threshold(self) -> int:
        """`t`, or a majority of the collaborators and at least 2."""
        return self._threshold(len(self.collaborators))

    def _threshold(self, collaborators: int) -> int:
        return self.t if self.t is not None else max(2, collaborators // 2 + 1)

    def _quorum(self, parties: int) -> int:
        """A round may lose collaborators down to the threshold, or to a quorum above it."""
        collaborators, threshold = parties - 1, self._threshold(parties - 1)
        if collaborators < threshold:
            raise ConfigError(
                f"secure aggregation with t={threshold} needs as many collaborators; there are {collaborators}",
                next_step="a sum of one hides nothing: name at least 2 collaborators in nodes, better 3"
                if collaborators < 2
                else f"give t={collaborators} or less",
            )
        return max(threshold, super()._quorum(parties))

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "t": self.t}

    # -- the aggregator ---------------------------------------------------------------------------------------------

    def _collect_updates(self) -> list[Update]:
        """Hand out the global weights; the collaborators' mean comes back, and this party's own update if it trains."""
        self._send_global(self.current_round, final=False)
        like = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        say = self.session.watch.say
        say("agreeing on masks", round=self.current_round)
        roster = self._collect_keys()
        sharers = self._pass_shares_on(roster)
        own = self._own_update() if self.involve_aggregator else None
        say("waiting for masked updates", round=self.current_round)
        total, survivors = self._collect_masked(sharers)
        say("taking masks off", round=self.current_round)
        samples, mean = decode_mean(self._unmasked(total, roster, sharers, survivors), like)
        self.session.mailbox.withdraw("global", before_round=self.current_round)
        updates = [Update(" + ".join(survivors), samples, mean)]
        return [own, *updates] if own is not None else updates

    def _own_update(self) -> Update:
        self._train()
        state = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        return Update(self.id, self.num_samples(), state)

    def _collect_keys(self) -> dict[str, PublicKeys]:
        envelopes = self._gather("keys", self.collaborators, self.schedule_timeout)
        roster = {party: PublicKeys.parse(bytes(envelope.payload)) for party, envelope in envelopes.items()}
        self._tell_all("roster", roster, b"".join(map(bytes, roster.values())))
        return roster

    def _pass_shares_on(self, roster: Mapping[str, PublicKeys]) -> list[str]:
        """Each gets what the others sealed for it. Returns those whose shares came."""
        sealed: dict[str, dict[str, bytes]] = {}  # sender -> receiver -> shares
        for party, envelope in self._gather("shares", list(roster), self.schedule_timeout).items():
            others = [other for other in roster if other != party]
            sealed[party] = cut(envelope, others, SEALED_BYTES)
        for party in self.collaborators:
            senders = [sender for sender in sealed if sender != party] if party in sealed else []
            theirs = b"".join(sealed[sender][party] for sender in senders)
            self._send(party, "delivery", theirs, {"parties": list(sealed)})
        return list(sealed)

    def _collect_masked(self, sharers: Sequence[str]) -> tuple[Words, list[str]]:
        """The sum of the masked vectors that come in time, and whose they are."""
        words = words_of(self.model.state_dict())
        total = np.zeros(words, dtype=np.uint64)
        envelopes = self._gather("masked", sharers, self._round_timeout())
        for party, envelope in envelopes.items():
            vector = np.frombuffer(envelope.payload, dtype=np.uint8)
            if vector.nbytes != 8 * words:
                raise MalformedPayload(
                    f"{party} sent {vector.nbytes:,} bytes of masked weights; this model has {8 * words:,}", party=party
                )
            total += vector.view("<u8")
        self._tell_all("survivors", envelopes)
        return total, list(envelopes)

    def _unmasked(
        self, total: Words, roster: Mapping[str, PublicKeys], sharers: Sequence[str], survivors: Sequence[str]
    ) -> Words:
        revealed: dict[str, dict[str, bytes]] = {party: {} for party in sharers}
        for party, envelope in self._gather("reveal", survivors, self.schedule_timeout).items():
            for owner, share in cut(envelope, sharers, SHARE_BYTES).items():
                revealed[owner][party] = share
        dropped = [party for party in sharers if party not in survivors]
        return unmask(
            total,
            roster=roster,
            dropped=dropped,
            revealed=revealed,
            threshold=self.threshold,
            domain=self._domain(),
        )

    def _gather(self, kind: str, senders: Sequence[str], timeout: float) -> dict[str, Envelope]:
        """What comes from these parties within `timeout` seconds (0: unlimited for those that live).

        Whose messages count is decided once: an aggregator that was killed and comes back waits for the same ones.

        Raises:
            TooFewSurvivors: from fewer than the quorum, naming who is missing.
        """
        memory = RoundMemory(self._memory_folder, self.current_round)
        decided = memory.texts(kind)
        try:
            envelopes = self.session.mailbox.gather(
                senders if decided is None else decided,
                kind,
                round=self.current_round,
                timeout=timeout,
                quorum=self.session.policy.quorum if decided is None else None,
            )
        except ReceiveTimeout as error:
            raise TooFewSurvivors(
                f"secure aggregation goes on with {self.session.policy.quorum} collaborators; {error.what}",
                round=self.current_round,
                next_step=error.next_step,
            ) from error
        if decided is None:
            memory.keep(kind, list(envelopes))
        if late := [sender for sender in senders if sender not in envelopes]:
            logger.warning("round %d goes on without the %s of %s", self.current_round, kind, ", ".join(late))
        return envelopes

    # -- a collaborator ---------------------------------------------------------------------------------------------

    def _contribute(self) -> bool:
        """Train, and add the result to the sum; if this party is late it is left out until the next round."""
        if self.session.replays and RoundMemory(self._memory_folder, self.current_round).text("secret") is None:
            logger.warning("the keys of that round are forgotten, as they should be: only the training runs again")
            self._train()
            return False
        secret = self._round_secret()
        self._send_up("keys", bytes(secret.public))
        roster = self._hear_roster()
        if self.id not in roster:
            return self._left_out("public keys")
        sealed = secret.seal_shares(roster, threshold=self.threshold)
        self._send_up("shares", b"".join(sealed.values()))
        shares = self._hear_shares(secret, roster)
        if self.id not in shares:
            return self._left_out("shares")
        self._train()
        vector = encode_weighted(self.model.state_dict(), self.num_samples(), parties=len(self.collaborators))
        masked = secret.mask(vector, {party: roster[party] for party in shares})
        self._send_up("masked", masked.astype("<u8", copy=False).data.cast("B"))
        survivors = named_parties(self._hear("survivors"), shares, threshold=self.threshold)
        if self.id not in survivors:
            return self._left_out("weights")
        # of each owner one secret, never both
        pieces = [held.own_mask if owner in survivors else held.mask_key for owner, held in shares.items()]
        RoundMemory(self._memory_folder, self.current_round).keep("reveal", b"".join(pieces).hex())
        return True

    def _hand_in(self) -> None:
        """What takes the masks off the sum, from this party's private folder: it may come back between the two."""
        pieces = RoundMemory(self._memory_folder, self.current_round).text("reveal") or ""
        self._send_up("reveal", bytes.fromhex(pieces))

    def _hear_roster(self) -> dict[str, PublicKeys]:
        envelope = self._hear("roster")
        parties = named_parties(envelope, self.collaborators, threshold=self.threshold)
        keys = cut(envelope, parties, PUBLIC_BYTES)
        return {party: PublicKeys.parse(data) for party, data in keys.items()}

    def _hear_shares(self, secret: RoundSecret, roster: Mapping[str, PublicKeys]) -> dict[str, Shares]:
        """The shares that this party holds, in the aggregator's order; none if its own came too late."""
        envelope = self._hear("delivery")
        parties = named_parties(envelope, roster, threshold=self.threshold)
        if self.id not in parties:
            return {}
        opened = secret.open_shares(cut(envelope, [p for p in parties if p != self.id], SEALED_BYTES), roster)
        return {party: opened[party] for party in parties}

    def _hear(self, kind: str) -> Envelope:
        self.session.watch.say(f"waiting for the {kind}", round=self.current_round)
        return self.session.mailbox.receive(
            self.session.party.initiator, kind, round=self.current_round, timeout=2 * self._round_timeout()
        )

    def _left_out(self, what: str) -> bool:
        """Nothing to hand in."""
        logger.warning("my %s came too late; round %d goes on without me", what, self.current_round)
        return False

    # -- both -------------------------------------------------------------------------------------------------------

    def _domain(self) -> Domain:
        return Domain(self.task_id, self.session.keys.run, self.current_round)

    @property
    def _memory_folder(self) -> Path:
        return self.session.folder.root / "secure"

    def _round_secret(self) -> RoundSecret:
        """This round's, from this party's private folder if it was killed in the middle of it."""
        memory = RoundMemory(self._memory_folder, self.current_round)
        kept = memory.text("secret")
        if kept is not None:
            return RoundSecret(bytes.fromhex(kept), self.id, self._domain())
        secret = RoundSecret.fresh(self.id, self._domain())
        memory.keep("secret", secret.root.hex())
        return secret

    def _save_model(self) -> Path:
        forget(self._memory_folder)
        return super()._save_model()

    def _tell_all(self, kind: str, parties: Iterable[str], payload: bytes = b"") -> None:
        self._send(self.collaborators, kind, payload, {"parties": list(parties)})

    def _send_up(self, kind: str, payload: bytes | memoryview) -> None:
        self._send(self.session.party.initiator, kind, payload, {})

    def _send(self, to: str | Sequence[str], kind: str, payload: bytes | memoryview, meta: Mapping[str, Any]) -> None:
        timeout = self._round_timeout() or 3600.0
        self.session.mailbox.send(to, kind, payload, round=self.current_round, meta=meta, timeout=timeout)
