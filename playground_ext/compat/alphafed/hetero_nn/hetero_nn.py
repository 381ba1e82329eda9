"""Split learning in AlphaMed's dialect."""

from __future__ import annotations

from typing import Any

from playground_ext import hetero_nn as native
from playground_ext.compat.dialect import Dialect, timeouts
from playground_ext.compat.talk import KINDS

__all__ = ["HeteroNNCollaboratorScheduler", "HeteroNNHostScheduler"]


class _Side(Dialect):
    """What host and collaborator share."""

    id_intersection: set[Any] | None = None  # the ids that all parties have, once it is known

    @property
    def is_host(self) -> bool:
        return self.is_initiator


class HeteroNNHostScheduler(_Side, native.HeteroNNHostScheduler):
    """The party with the labels; see `playground_ext.hetero_nn.HeteroNNHostScheduler`.

    `name` and `data_channel_timeout`, seconds (to connect, to transfer), are those of the guide of October 2022; with
    `psi="rsa"` ids are intersected as AlphaMed does it.
    """

    kinds = (*native.HeteroNNHostScheduler.kinds, *KINDS)  # type: ignore[assignment]

    def __init__(
        self,
        feature_key: str,
        max_rounds: int = 0,
        calculation_timeout: float = 300,
        schedule_timeout: float = 30,
        log_rounds: int = 0,
        is_feature_trainable: bool = True,
        *,
        name: str | None = None,
        data_channel_timeout: tuple[float, float] | None = None,
        psi: str = "ecdh",
    ) -> None:
        super().__init__(
            feature_key,
            psi=psi,
            max_rounds=max_rounds or 1,
            calculation_timeout=calculation_timeout,
            schedule_timeout=timeouts(schedule_timeout, data_channel_timeout),
            log_rounds=log_rounds,
            is_feature_trainable=is_feature_trainable,
        )
        self._speak(name=name, max_rounds=max_rounds)


class HeteroNNCollaboratorScheduler(_Side, native.HeteroNNCollaboratorScheduler):
    """A party with some of the columns; see `playground_ext.hetero_nn.HeteroNNCollaboratorScheduler`."""

    kinds = (*native.HeteroNNCollaboratorScheduler.kinds, *KINDS)  # type: ignore[assignment]

    def __init__(
        self,
        feature_key: str,
        schedule_timeout: float = 30,
        is_feature_trainable: bool = True,
        *,
        calculation_timeout: float = 300,
        name: str | None = None,
        data_channel_timeout: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(
            feature_key,
            calculation_timeout=calculation_timeout,
            schedule_timeout=timeouts(schedule_timeout, data_channel_timeout),
            is_feature_trainable=is_feature_trainable,
        )
        self._speak(name=name, max_rounds=1)
