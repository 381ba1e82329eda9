"""Kills every party at every step of the protocol, and the server, and sees that nothing is lost: `make chaos`."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import script_server  # noqa: E402
from federation_under_attack import PARTIES, Outcome, Strike, play  # noqa: E402

__all__ = ["kind_of", "plan", "sample", "strike_all", "table"]

ABSENT = 2.0  # seconds for which every fourth victim stays away: long enough for the others to notice
RESULTS = Path(__file__).parents[2] / "chaos-results"


def plan(undisturbed: Outcome, *, per_role: int | None = None, seed: int = 0) -> list[Strike]:
    """A strike at every step of every party, and one at the server at every step of the first two.

    `per_role`: at most so many steps of a party, evenly spread.
    """
    strikes: list[Strike] = []
    for index, (party, steps) in enumerate(undisturbed.steps.items()):
        places = _spread(len(steps), per_role, seed)
        strikes += [Strike(party, at, "party", ABSENT if at % 4 == 0 else 0.0) for at in places]
        if index < 2:
            strikes += [Strike(party, at, "server") for at in places]
    return strikes


def sample(strikes: Sequence[Strike], count: int, seed: int) -> list[Strike]:
    return random.Random(seed).sample(list(strikes), count)


def _spread(steps: int, wanted: int | None, seed: int) -> list[int]:
    """`wanted` of the numbers 1 … `steps`, evenly spread, the first one chosen by the seed."""
    if wanted is None or wanted >= steps:
        return list(range(1, steps + 1))
    first = random.Random(seed).random()
    return sorted({int((index + first) * steps / wanted) + 1 for index in range(wanted)})


def strike_all(
    jobs: Iterable[tuple[str, Strike]],
    expected: Mapping[str, Mapping[str, Any]],
    *,
    workers: int,
    recovery: bool = True,
    keep: bool = False,
) -> Iterator[Outcome]:
    """Play every (scenario, strike), several at once."""
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [
            pool.submit(play, scenario, strike, expected=expected[scenario], recovery=recovery, keep=keep)
            for scenario, strike in jobs
        ]
        try:
            for done in as_completed(running):
                yield done.result()
        finally:
            for future in running:
                future.cancel()


def kind_of(step: str) -> str:
    """`before send update round 3 attempt 1` is of the kind `before send`."""
    return " ".join(step.split()[:2])


def table(outcomes: Iterable[Outcome]) -> str:
    """By role, kind of step and what was killed: how many survived of how many."""
    tried: Counter[tuple[str, str, str, str]] = Counter()
    survived: Counter[tuple[str, str, str, str]] = Counter()
    for outcome in outcomes:
        if outcome.strike is None:
            continue
        role = outcome.strike.party.split("-")[0]
        key = (outcome.scenario, outcome.strike.target, role, kind_of(outcome.step))
        tried[key] += 1
        survived[key] += not outcome.problem
    lines = [f"{'algorithm':<14} {'killed':<7} {'at a step of':<13} {'step':<20} survived"]
    for scenario, target, role, kind in sorted(tried):
        key = (scenario, target, role, kind)
        mark = "" if survived[key] == tried[key] else "   <--"
        killed = "server" if target == "server" else "itself"
        lines.append(f"{scenario:<14} {killed:<7} {role:<13} {kind:<20} {survived[key]:>3} of {tried[key]}{mark}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", action="append", choices=PARTIES, help="only these (default: all)")
    parser.add_argument("--per-role", type=int, help="at most so many steps of each party, evenly spread")
    parser.add_argument("--target", choices=("party", "server"), help="kill only parties, or only the server")
    parser.add_argument("--party", help="only at steps of this party")
    parser.add_argument("--at", type=int, action="append", help="only at these steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=max(1, (multiprocessing.cpu_count() + 1) // 2))
    parser.add_argument("--no-control", action="store_true", help="leave out the runs with recovery switched off")
    parser.add_argument("--keep", action="store_true", help="keep the folders of federations that did not survive")
    arguments = parser.parse_args()
    started = time.monotonic()

    jobs: list[tuple[str, Strike]] = []
    expected: dict[str, Mapping[str, Any]] = {}
    for scenario in arguments.scenario or PARTIES:
        undisturbed = play(scenario)
        if undisturbed.problem:
            print(f"{scenario} does not even work undisturbed: {undisturbed.problem}\n{undisturbed.evidence}")
            return 1
        expected[scenario] = undisturbed.answers
        strikes = [
            strike
            for strike in plan(undisturbed, per_role=arguments.per_role, seed=arguments.seed)
            if arguments.target in (None, strike.target)
            and arguments.party in (None, strike.party)
            and (arguments.at is None or strike.at in arguments.at)
        ]
        counted = ", ".join(f"{party} {len(steps)}" for party, steps in undisturbed.steps.items())
        print(f"{scenario}: steps: {counted}; {len(strikes)} strikes", flush=True)
        jobs += [(scenario, strike) for strike in strikes]

    outcomes = []
    for number, outcome in enumerate(
        strike_all(jobs, expected, workers=arguments.workers, keep=arguments.keep), start=1
    ):
        outcomes.append(outcome)
        strike = outcome.strike or Strike("", 0)
        where = f"{outcome.scenario} {strike.target} at {strike.party}:{strike.at} ({outcome.step})"
        print(f"{number:>4}/{len(jobs)} {outcome.seconds:5.1f} s  {where}: {outcome.problem or 'survived'}", flush=True)
        if outcome.problem:
            _keep_evidence(outcome)

    idle = [] if arguments.no_control else _controls(jobs, expected, arguments.workers)
    print(f"\n{table(outcomes)}\n")
    survived = sum(not outcome.problem for outcome in outcomes)
    hits = len(outcomes) - len(idle)
    print(f"{survived} of {len(outcomes)} survived in {(time.monotonic() - started) / 60:.1f} minutes")
    if not arguments.no_control:
        print(f"{hits} of these kills end the task when recovery is switched off, and count")
        for scenario, strike in idle:
            print(f"  hit nothing: {scenario} {strike.target} at {strike.party}:{strike.at}")
    RESULTS.mkdir(exist_ok=True)
    record = {
        "kills": len(outcomes),
        "survived": survived,
        "counting": None if arguments.no_control else hits,
        "outcomes": [outcome.summary() for outcome in outcomes],
    }
    (RESULTS / "sweep.json").write_text(json.dumps(record, indent=1))
    print(f"details: {RESULTS / 'sweep.json'}")
    return int(survived < len(outcomes))


def _controls(
    jobs: Sequence[tuple[str, Strike]], expected: Mapping[str, Mapping[str, Any]], workers: int
) -> list[tuple[str, Strike]]:
    """The same kills with recovery switched off. Returns those that did no harm, which prove nothing."""
    print(f"\nthe same {len(jobs)} kills with recovery switched off", flush=True)
    plain = [(scenario, replace(strike, pause=0.0)) for scenario, strike in jobs]
    idle = []
    for number, outcome in enumerate(strike_all(plain, expected, workers=workers, recovery=False), start=1):
        if not outcome.problem and outcome.strike is not None:
            idle.append((outcome.scenario, outcome.strike))
        if number % 20 == 0:
            print(f"{number:>4}/{len(jobs)}", flush=True)
    return idle


def _keep_evidence(outcome: Outcome) -> None:
    strike = outcome.strike
    if strike is not None:
        RESULTS.mkdir(exist_ok=True)
        name = f"{outcome.scenario}-{strike.target}-{strike.party}-{strike.at}.txt"
        (RESULTS / name).write_text(f"{outcome.step}\n{outcome.problem}\n{outcome.evidence}\n")


if __name__ == "__main__":
    with script_server.shared():
        sys.exit(main())
