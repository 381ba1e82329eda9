"""Scheduler: the lifecycle that every algorithm shares."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, cast

from playground_ext import settings
from playground_ext.errors import ConfigError
from playground_ext.party.context import current, from_environment
from playground_ext.party.failure import is_interactive
from playground_ext.party.identity import Party
from playground_ext.party.policy import FailurePolicy
from playground_ext.scheduler.data_checker import DataChecker, compare_verifications, verification
from playground_ext.scheduler.metric_sets import MetricSet, MetricSets
from playground_ext.scheduler.metrics import TensorBoardWriter
from playground_ext.scheduler.progress_state import capture_rng, read_reports, restore_rng, write_reports
from playground_ext.scheduler.replay import ReplayResult, ReplaySession, RoundReplayed, is_of
from playground_ext.scheduler.result import RoundReport, TaskResult, finished_result
from playground_ext.scheduler.seeding import seed_everything
from playground_ext.scheduler.session import Session

__all__ = ["Scheduler"]

logger = logging.getLogger("playground")


class _RoundClock:
    """A round that is being measured, unless it turns out not to be one."""

    def __init__(self, participants: Sequence[str]) -> None:
        self.started = time.monotonic()
        self.counts = True
        self.participants = tuple(participants)  # who took part; all unless the round closed without some

    def cancel(self) -> None:
        self.counts = False


class Scheduler(ABC):
    """One party's part in a task. Subclass an algorithm's scheduler, or this one to write an algorithm.

    An algorithm implements `_prepare`, `_check_in` and `_play`, and names its roles and message kinds.

    Arguments shared by all algorithms, in AlphaMed's names:
        max_rounds: rounds after which the task ends, at least 1.
        calculation_timeout: seconds a party may take for its part of a round; 0 means unlimited.
        schedule_timeout: seconds on top of that for messages to arrive; 0 means unlimited.
        log_rounds: test the global model every so many rounds (and at the end); 0 means never.
        seed: of everything the scheduler seeds; the initiator's counts for the whole task.
    """

    initiator_role: ClassVar[str] = "initiator"
    collaborator_role: ClassVar[str] = "collaborator"
    kinds: ClassVar[tuple[str, ...]] = ()  # of data messages
    data_checker: DataChecker | None = None  # run at check-in
    durable_messages: ClassVar[bool] = True  # sent messages survive a crash, because they are not computed again

    # What a party that fails or dies does to the others; the initiator's counts. None: PLAYGROUND_ON_PARTY_FAILURE and
    # PLAYGROUND_REPAIR_TIMEOUT, else "wait" (30 minutes) where a person runs the notebook and "stop" in batch runs.
    on_party_failure: str | None = None  # "stop": everybody ends; "wait": until its notebook is run again
    repair_timeout: float | None = None  # seconds that the others wait; 0 means unlimited

    # Rounds kept for `playground replay`, the newest ones: a number, or "all". None: PLAYGROUND_KEEP_ROUNDS, else 1.
    keep_rounds: int | str | None = None

    def __init__(
        self,
        *,
        max_rounds: int = 1,
        calculation_timeout: float = 300.0,
        schedule_timeout: float = 30.0,
        log_rounds: int = 0,
        seed: int = 0,
    ) -> None:
        if not isinstance(max_rounds, int) or max_rounds < 1:
            raise ConfigError(f"max_rounds={max_rounds!r} is not a number of rounds", next_step="give 1 or more")
        for name, value in (
            ("calculation_timeout", calculation_timeout),
            ("schedule_timeout", schedule_timeout),
            ("log_rounds", log_rounds),
        ):
            if value < 0:
                raise ConfigError(f"{name}={value!r} is negative", next_step="0 switches it off")
        self.max_rounds = max_rounds
        self.calculation_timeout = calculation_timeout
        self.schedule_timeout = schedule_timeout
        self.log_rounds = log_rounds
        self.seed = seed
        self.current_round = 0
        self._session: Session | None = None
        self._bystander: tuple[Party, str] | None = None  # who this is where the task is over
        self._metric_sets = MetricSets()

    # -- what users may override ------------------------------------------------------------------------------------

    def validate_context(self) -> None:
        """Called once everything is built and before anybody waits. Raise to stop the task with your reason."""
        return None

    def is_task_finished(self) -> bool:
        """Asked of the initiator after every round; the default is that `max_rounds` is reached."""
        return self.current_round >= self.max_rounds

    def checkpoint_state(self) -> Mapping[str, Any] | None:
        """State of your own that a round depends on (tensors, numbers, strings, and containers of them), if any.

        It is in every checkpoint, and `load_checkpoint_state` gets it back when this party returns after a crash.
        """
        return None

    def load_checkpoint_state(self, state: Mapping[str, Any]) -> None:
        """The counterpart of `checkpoint_state`."""
        return None

    # -- what users call --------------------------------------------------------------------------------------------

    def run(self) -> TaskResult:
        """Take part in the task of the surrounding `mock_context`, until it is over.

        Raises:
            ConfigError: no context, or it contradicts itself.
            CheckInError: the parties could not start together.
            PartyFailed: another party failed; its traceback is in the message.
            PlaygroundError: everything else that this library finds wrong; what user code raises passes unchanged.
        """
        context = current()
        if context is None:
            raise ConfigError(
                "scheduler.run() needs to know who this notebook is",
                next_step="write `with mock_context(id=…, nodes=[…], task_id=…): scheduler.run()`, or use launch_task",
            )
        return self._take_part(context.party(), context.role)

    def launch_task(self, task_id: str | None = None) -> TaskResult:
        """The same in production: who this is comes from PLAYGROUND_PARTY, _NODES, _ROLE and _REDIS_URL."""
        context = current() or from_environment(task_id)
        return self._take_part(context.party(task_id=task_id), context.role)

    def _run(self, id: str, task_id: str, is_initiator: bool = False, recover: bool = False) -> TaskResult:
        """AlphaMed's spelling of `run`."""
        context = current()
        if context is None:
            raise ConfigError("_run() needs a context", next_step="write `with mock_context(id=…, nodes=[…]): …`")
        return self._take_part(context.party(id=id, task_id=task_id), "initiator" if is_initiator else "collaborator")

    # -- who I am ---------------------------------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The run this scheduler takes part in.

        Raises:
            ConfigError: it is not running.
        """
        if self._session is None:
            raise ConfigError(f"{type(self).__name__} is not taking part in a task", next_step="call run() first")
        return self._session

    @property
    def id(self) -> str:
        return self._party.id

    @property
    def task_id(self) -> str:
        return self._party.task

    @property
    def nodes(self) -> tuple[str, ...]:
        """All parties, in the initiator's order."""
        return self._party.nodes

    @property
    def is_initiator(self) -> bool:
        return self._party.is_initiator

    @property
    def role(self) -> str:
        return self.session.role if self._session is not None or self._bystander is None else self._bystander[1]

    @property
    def _party(self) -> Party:
        return self.session.party if self._session is not None or self._bystander is None else self._bystander[0]

    @property
    def tb_writer(self) -> TensorBoardWriter:
        """TensorBoard's interface; scalars also go to metrics.csv and to everybody who watches the task."""
        return TensorBoardWriter(self.session.metrics, lambda: self.current_round)

    def get_metrics(self, name: str) -> MetricSet:
        """A metric set of `register_metrics`. Raises ConfigError: there is none; the message lists those there are."""
        metrics = self.session.metrics
        return self._metric_sets.get(name, type(self), metrics, lambda: self.current_round)

    # -- what algorithms implement ----------------------------------------------------------------------------------

    @abstractmethod
    def _prepare(self) -> None:
        """Build models, optimizers and loaders anew; the seeds are set."""

    @abstractmethod
    def _check_in(self) -> Mapping[str, Any]:
        """What the others must know before the start, as JSON."""

    @abstractmethod
    def _play(self) -> Path | None:
        """All rounds, to the end. Returns the final model's file, if the algorithm has a common model."""

    def _compare(self, check_ins: Mapping[str, Mapping[str, Any]]) -> None:
        """At the initiator, before the start: raise if the parties do not fit together."""
        return None

    def _arguments(self) -> dict[str, Any]:
        """Constructor arguments that must be equal everywhere; the initiator's are adopted by the others."""
        return {
            "max_rounds": self.max_rounds,
            "calculation_timeout": self.calculation_timeout,
            "schedule_timeout": self.schedule_timeout,
            "log_rounds": self.log_rounds,
            "seed": self.seed,
        }

    # -- lifecycle --------------------------------------------------------------------------------------------------

    def _take_part(self, party: Party, role: str | None) -> TaskResult:
        party = self._with_leader(party, role)
        my_role = self.initiator_role if party.is_initiator else self.collaborator_role
        self.current_round = 0
        self._reports: list[RoundReport] = []
        self._metric_sets = MetricSets()
        done, recording = finished_result(party), settings.read().replay
        if recording is not None and (done is None or is_of(recording, party)):
            return cast(TaskResult, self._replay(party, my_role, recording))
        if done is not None and (settings.read().resume or recording is not None):  # or another task of the notebook
            return self._come_back_to(party, my_role, done)
        policy = FailurePolicy.choose(
            self.on_party_failure,
            self.repair_timeout,
            quorum=self._quorum(len(party.nodes)),
            interactive=is_interactive(),
        )
        meta = {
            "algorithm": self._algorithm(),
            "scheduler": type(self).__name__,
            "arguments": self._arguments(),
            "policy": policy.as_json(),
        }
        with Session(
            party,
            role=my_role,
            meta=meta,
            kinds=self.kinds,
            durable=self.durable_messages,
            keep_rounds=self._rounds_kept(),
        ) as session:
            self._session = session
            self._adopt(session.meta)
            with session.user_code("building"):
                seed_everything(self.seed, party.id, 0)
                self._prepare()
                self.validate_context()
                checked = verification(self.data_checker, party.task)
            session.check_in({**self._check_in(), **checked}, self._compare_all)
            if session.restored is None:
                session.metrics.keep(0)
            else:
                session.go_back(session.restored)
                if self.durable_messages:
                    self._go_back(session.restored)
            began = time.monotonic()
            model_file = self._play()
            result = self._result(session, model_file, time.monotonic() - began)
        return result

    def _rounds_kept(self) -> int | None:
        """None means all."""
        said = self.keep_rounds if self.keep_rounds is not None else settings.read().keep_rounds
        if said == "all":
            return None
        if said is None or (str(said).isdecimal()):
            return 1 if said is None else int(said)
        raise ConfigError(f"keep_rounds={said!r} is not a number of rounds", next_step="give 0 or more, or 'all'")

    def _replay(self, party: Party, role: str, where: str) -> ReplayResult:
        """Run one round again from its recorded messages; see `playground replay`."""
        with ReplaySession(party, role=role, where=where) as session:
            self._session = session
            self._adopt(session.meta)
            seed_everything(self.seed, party.id, 0)
            self._prepare()
            self.validate_context()
            session.check_in(self._check_in(), self._compare)
            if self.durable_messages and session.restored is not None:
                self._go_back(session.restored)
            try:
                self._play()
            except RoundReplayed:
                logger.info("%r", session.result)
            points = session.metrics.points
            session.result.metrics = {point.name: point.value for point in points if point.round == session.round}
        return session.result

    def _come_back_to(self, party: Party, role: str, result: TaskResult) -> TaskResult:
        """The notebook of a party that had done its part is run again: what it ended with."""
        logger.info("%s had done its part of %s already; the result is in %s", party.id, party.task, result.folder)
        seed_everything(self.seed, party.id, 0)
        self._session, self._bystander = None, (party, role)
        self._prepare()
        self.current_round = result.rounds
        self._load_result(result)
        return result

    def _load_result(self, result: TaskResult) -> None:
        """Make the attributes what they are after a run; models are built."""
        return None

    def _go_back(self, state: Mapping[str, Any]) -> None:
        """Be what this party was when it wrote this checkpoint."""
        self.current_round = int(state["round"])
        self._restore(state)
        self._reports = read_reports(state["reports"])
        self.session.metrics.keep(int(state["points"]))
        self._metric_sets.keep(state["metric_sets"])
        if state.get("own") is not None:
            self.load_checkpoint_state(state["own"])
        restore_rng(state["rng"])
        logger.info("going on after round %d, from its checkpoint", self.current_round)

    def _has_reported(self, round: int) -> bool:
        return bool(self._reports) and self._reports[-1].round >= round

    def _checkpoint(self, *, before_the_end: bool = False) -> list[tuple[str, str, int]]:
        """Make the end of `current_round` durable; `_restore` gets the same. Returns what `Session.checkpoint` does.

        `before_the_end`: all but this party's last message of the round is done; the round has no report yet.
        """
        own = self.checkpoint_state()
        common = {
            "rng": capture_rng(),
            "reports": write_reports(self._reports),
            "points": len(self.session.metrics.points),
            "metric_sets": self._metric_sets.counts(),
            "own": None if own is None else dict(own),
        }
        state = {**common, **self._state()}
        return self.session.checkpoint(self.current_round, state, before_the_end=before_the_end)

    def _state(self) -> Mapping[str, Any]:
        """What a round of this algorithm starts from, as tensors, numbers, strings and containers of them."""
        return {}

    def _restore(self, state: Mapping[str, Any]) -> None:
        """The counterpart of `_state`; everything is built."""
        return None

    def _quorum(self, parties: int) -> int:
        """Number of collaborators that suffice for a round; 0 means all."""
        return 0

    def _compare_all(self, check_ins: Mapping[str, Mapping[str, Any]]) -> None:
        compare_verifications(check_ins)
        self._compare(check_ins)

    def _with_leader(self, party: Party, role: str | None) -> Party:
        """Who initiates: whoever the role says, else the first of `nodes`."""
        if role is None:
            return party
        if role in ("initiator", self.initiator_role):
            return replace(party, leader=party.id)
        if role != self.collaborator_role:
            raise ConfigError(
                f"{self._algorithm()} has no role {role!r}",
                party=party.id,
                next_step=f"use {self.initiator_role!r} or {self.collaborator_role!r}",
            )
        others = [node for node in party.nodes if node != party.id]
        return replace(party, leader=others[0]) if party.is_initiator and others else party

    @classmethod
    def _algorithm(cls) -> str:
        """The library class that this one extends, so that subclasses of one algorithm fit together."""
        return next(base.__name__ for base in cls.__mro__ if base.__module__.startswith("playground_ext."))

    def _adopt(self, meta: Mapping[str, Any]) -> None:
        """Take the initiator's arguments, and say which differ."""
        if meta["algorithm"] != self._algorithm():
            raise ConfigError(
                f"the initiator runs {meta['algorithm']}, this notebook {self._algorithm()}",
                next_step="subclass the same scheduler in every notebook",
            )
        mine = self._arguments()
        for name, value in meta["arguments"].items():
            if name in mine and mine[name] != value:
                logger.info("%s=%r here, the initiator says %r, which counts", name, mine[name], value)
                setattr(self, name, value)

    @contextmanager
    def _reported_round(self, participants: Sequence[str]) -> Iterator[_RoundClock]:
        """Measure a round; what is inside sets `current_round`."""
        box = self.session.mailbox
        clock = _RoundClock(participants)

        def totals() -> tuple[float, float, int, int]:
            return box.waited, box.transferred, sum(box.sent_bytes.values()), sum(box.received_bytes.values())

        before = totals()
        yield clock
        if clock.counts:
            waited, transferred, sent, received = (now - then for now, then in zip(totals(), before, strict=True))
            report = RoundReport(
                round=self.current_round,
                participants=clock.participants,
                seconds=time.monotonic() - clock.started,
                waited=waited,
                sent=int(sent),
                received=int(received),
                transferred=transferred,
            )
            self._reports.append(report)
            self.session.watch.post("round", {**asdict(report), "at": time.time()})

    def _round_timeout(self) -> float:
        """Seconds until everybody must have answered: 0 means unlimited."""
        if not (self.calculation_timeout and self.schedule_timeout):
            return 0.0
        return self.calculation_timeout + self.schedule_timeout

    def _result(self, session: Session, model_file: Path | None, seconds: float) -> TaskResult:
        folder = session.folder.results
        result = TaskResult(
            task_id=session.party.task,
            run=session.keys.run,
            party=session.party.id,
            rounds=self.current_round,
            seconds=seconds,
            folder=folder,
            model_file=model_file,
            report_file=session.folder.report,
            metrics=list(session.metrics.points),
            round_reports=self._reports,
            sent=dict(session.mailbox.sent_bytes),
            received=dict(session.mailbox.received_bytes),
        )
        result.write_report({"role": self.role, "nodes": list(self.nodes), "arguments": self._arguments()})
        return result
