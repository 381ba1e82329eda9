"""FedAvg and FedSGD in AlphaMed's dialect."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from playground_ext import fed_avg as native
from playground_ext.bus.tensors import signature
from playground_ext.compat.dialect import Dialect, timeouts
from playground_ext.compat.log import logger
from playground_ext.compat.talk import KINDS
from playground_ext.errors import CheckInError, ConfigError
from playground_ext.fed_avg.aggregation import StateDict
from playground_ext.fed_avg.round_memory import RoundMemory
from playground_ext.scheduler.seeding import derive_seed

__all__ = ["AggregationDialect", "FedAvgScheduler", "FedSGDScheduler"]


class AggregationDialect(Dialect, native.FedAvgScheduler):
    """What AlphaMed's schedulers for horizontal learning have in common.

    Arguments of the guide of October 2022:
        name: the task's, by default its id.
        data_channel_timeout: seconds (to connect, to transfer).
        min_clients: parties that must train in a round. With fewer there is no start, and while there are so many the
            task goes on without those that died or answer too late. None: all.
        max_clients: parties that may train in a round. If there are more, so many are drawn anew in each round, and the
            others rest; an aggregator that trains is always one of them. None: all.
        is_centralized: False asks for peers, one of which aggregates in turn. Here the initiator always aggregates;
            it trains as well then, as a peer would, and a warning says what differs.
        perf_bench_timeout: there is nothing to time.
    """

    kinds: ClassVar[tuple[str, ...]] = (*native.FedAvgScheduler.kinds, *KINDS)
    _nobody_rests: ClassVar[str | None] = None  # why `max_clients` cannot leave any party out

    def _understand(
        self,
        max_rounds: int,
        *,
        name: str | None = None,
        min_clients: int | None = None,
        max_clients: int | None = None,
        is_centralized: bool = True,
        perf_bench_timeout: float | None = None,
    ) -> None:
        """Take what the native scheduler does not know."""
        self._speak(name=name, max_rounds=max_rounds)
        for what, count in (("min_clients", min_clients), ("max_clients", max_clients)):
            if count is not None and (not isinstance(count, int) or count < 1):
                raise ConfigError(f"{what}={count!r} is not a number of parties", next_step="give 1 or more")
        if min_clients is not None and max_clients is not None and min_clients > max_clients:
            raise ConfigError(f"min_clients={min_clients} exceeds max_clients={max_clients}")
        self.min_clients, self.max_clients, self.is_centralized = min_clients, max_clients, is_centralized
        if not is_centralized:
            self.involve_aggregator = True
            logger.warning(
                "is_centralized=False: no aggregator is elected in each round; the initiator aggregates in all of them "
                "and trains too, so it sees every party's weights (SecureFedAvgScheduler hides them from it)"
            )

    # -- what users may override ------------------------------------------------------------------------------------

    def state_dict(self) -> StateDict:
        """The weights that the parties share; a part of the model's, if you like."""
        return self.model.state_dict()

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take weights with the names of `state_dict`."""
        self.model.load_state_dict(state_dict)

    # -- protocol ---------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._shared: frozenset[str] | None = None
        super()._prepare()
        if type(self).state_dict is AggregationDialect.state_dict:
            return
        shared, known = frozenset(self.state_dict()), frozenset(self.model.state_dict())
        if unknown := sorted(shared - known):
            raise ConfigError(
                f"state_dict() names {', '.join(unknown[:3])}, which the model does not have",
                next_step="return self.model.state_dict(), or a part of it under the same names",
            )
        if shared != known:
            self._share(shared)

    def _share(self, names: frozenset[str]) -> None:
        """From now on the model shows and takes only these weights; the others stay with the party."""
        self._shared = names

        def show(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
            for name in [name for name in state if name not in names]:
                del state[name]

        def fill(module: nn.Module, state: dict[str, Any], *rest: Any) -> None:
            own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
            state.update({name: own[name].detach() for name in own if name not in state})

        model: Any = self.model
        model.register_state_dict_post_hook(show)
        model.register_load_state_dict_pre_hook(fill)
        self._signature = signature(self.model.state_dict())
        logger.info("%d of the model's weights are shared, as state_dict() says", len(names))

    def _load(self, state: StateDict) -> None:
        with torch.no_grad():
            self.load_state_dict(state)

    def _quorum(self, parties: int) -> int:
        """Collaborators that suffice for a round: what `min_clients` leaves to them, if it leaves any out."""
        suffice = super()._quorum(parties)
        if self.min_clients is None:
            return suffice
        wanted = max(1, self.min_clients - int(self.involve_aggregator))
        return max(suffice, wanted) if wanted < parties - 1 else suffice

    def _trainers_of_round(self) -> list[str]:
        """All collaborators, or as many of those that are here as `max_clients` lets train; decided once a round."""
        count = len(self.collaborators) if self.max_clients is None else self.max_clients - int(self.involve_aggregator)
        if count >= len(self.collaborators):
            return self.collaborators
        memory = RoundMemory(self.session.folder.root / "drawn", self.current_round)
        if (drawn := memory.texts("participants")) is None:
            chance = random.Random(derive_seed(self.seed, "max_clients", self.current_round))
            order = chance.sample(self.collaborators, len(self.collaborators))
            here = [party for party in order if not self.session.watch.is_lost(party)]
            drawn = sorted(here[:count], key=self.nodes.index)
            memory.keep("participants", drawn)
        self.session.say("drawing who trains", self.current_round)
        logger.info("max_clients=%d: drawn for this round: %s", self.max_clients, ", ".join(drawn) or "no collaborator")
        return drawn

    def _compare(self, check_ins: Mapping[str, Mapping[str, Any]]) -> None:
        super()._compare(check_ins)
        trainers = len(self.collaborators) + int(self.involve_aggregator)
        if self.min_clients is not None and trainers < self.min_clients:
            raise CheckInError(
                f"min_clients={self.min_clients}, but {trainers} of the parties train: {', '.join(self.nodes)}",
                task=self.task_id,
                next_step="name more parties in nodes, or give a smaller min_clients",
            )
        if self.max_clients is not None and trainers > self.max_clients and self._nobody_rests is not None:
            raise CheckInError(
                f"max_clients={self.max_clients}, but {trainers} of the parties train, and none of them can rest in a "
                f"round: {self._nobody_rests}",
                task=self.task_id,
                next_step=f"name fewer parties in nodes, or give max_clients={trainers}",
            )


class FedAvgScheduler(AggregationDialect):
    """Federated averaging; see `playground_ext.fed_avg.FedAvgScheduler`, and `AggregationDialect` for what differs."""

    def __init__(
        self,
        max_rounds: int = 0,
        merge_epochs: int = 1,
        calculation_timeout: float = 300,
        schedule_timeout: float = 30,
        log_rounds: int = 0,
        involve_aggregator: bool = False,
        *,
        data_channel_timeout: tuple[float, float] | None = None,
        **of_2022: Any,
    ) -> None:
        super().__init__(
            max_rounds=max_rounds or 1,
            merge_epochs=merge_epochs,
            calculation_timeout=calculation_timeout,
            schedule_timeout=timeouts(schedule_timeout, data_channel_timeout),
            log_rounds=log_rounds,
            involve_aggregator=involve_aggregator,
        )
        self._understand(max_rounds, **of_2022)


class FedSGDScheduler(FedAvgScheduler, native.FedSGDScheduler):
    """Federated SGD: a round is one batch with all local data."""
