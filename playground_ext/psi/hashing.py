"""The random oracle of both protocols: SHAKE-256, separated by task, attempt and purpose."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from playground_ext.errors import ProtocolError

__all__ = ["NONCE_BYTES", "Domain", "fresh_nonce"]

NONCE_BYTES = 32  # what each party contributes to an attempt


def fresh_nonce() -> bytes:
    """One party's public contribution to the domain of one attempt."""
    return secrets.token_bytes(NONCE_BYTES)


@dataclass(frozen=True)
class Domain:
    """What both parties hash along with every id, so that messages of another task or attempt match nothing.

    Each party contributes a `fresh_nonce`; neither can then replay a message it recorded before. Nothing here is
    secret.

    Raises:
        ProtocolError: a nonce of another length than `NONCE_BYTES`.
    """

    task: str
    initiator_nonce: bytes
    collaborator_nonce: bytes

    def __post_init__(self) -> None:
        for whose, nonce in (("initiator", self.initiator_nonce), ("collaborator", self.collaborator_nonce)):
            if len(nonce) != NONCE_BYTES:
                raise ProtocolError(f"the {whose}'s nonce has {len(nonce)} bytes instead of {NONCE_BYTES}")

    def hashes(self, values: Iterable[bytes], length: int, *purpose: bytes) -> Iterator[bytes]:
        """`length` bytes of SHAKE-256 for each value; independent for each tuple `purpose`."""
        parts = (b"playground-psi-1", self.task.encode(), self.initiator_nonce, self.collaborator_nonce, *purpose)
        prefix = hashlib.shake_256(len(parts).to_bytes(8, "big"))
        for part in parts:
            prefix.update(len(part).to_bytes(8, "big") + part)
        for value in values:
            state = prefix.copy()
            state.update(value)
            yield state.digest(length)
