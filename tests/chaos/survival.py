"""What survives what: from the results of `make chaos` into `survival.json`, and from there into the README's table.

`python tests/chaos/survival.py` does both; `--readme` only the second.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

__all__ = ["BEGIN", "END", "ROWS", "SUMMARY", "readme_with", "render"]

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "chaos-results"  # git-ignored: sweep.json of the kills, tests.xml of pytest
SUMMARY = Path(__file__).parent / "survival.json"
BEGIN, END = "<!-- survival table: made by tests/chaos/survival.py -->", "<!-- end of the survival table -->"

NAMES = {
    "fed_avg": "FedAvg",
    "fed_avg_quorum": "FedAvg with a quorum",
    "fed_sgd": "FedSGD",
    "secure_fed_avg": "secure FedAvg",
    "hetero_nn": "hetero-NN",
    "psi_ecdh": "ECDH-PSI",
    "psi_rsa": "RSA-PSI",
}
SAME = "the same final model, bit for bit"

# What happens, what becomes of it, and the tests that show it.
ROWS: list[tuple[str, str, list[str]]] = [
    (
        "The server is killed while a party computes, and comes back, with or without its data",
        SAME,
        ["test_a_server_that_is_killed_while_a_party_computes_changes_nothing"],
    ),
    (
        "The server does not answer for 2 s, for 20 s",
        SAME,
        ["test_a_server_that_does_not_answer_for_a_while_changes_nothing"],
    ),
    (
        "The server is full",
        SAME + ", once there is room; at the deadline an error names the slowest receiver",
        ["test_a_full_server_is_waited_for", "test_a_server_that_stays_full_is_an_error_that_names_who_is_slow"],
    ),
    ("The server and the home folder hold 1,000 old tasks", SAME, ["test_a_thousand_old_tasks_cost_nothing"]),
    ("A party is stopped for 3 s", SAME, ["test_a_party_that_stands_still_for_a_while_changes_nothing"]),
    ("A machine's clock jumps by a day", SAME, ["test_a_clock_that_jumps_changes_nothing"]),
    (
        "A party's disk is full",
        "an error names the folder; run the notebook again when there is room: " + SAME,
        ["test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room"],
    ),
    (
        "A party's newest checkpoint is damaged",
        "it says so and uses the one before: " + SAME,
        ["test_a_damaged_checkpoint_is_said_and_the_one_before_it_used"],
    ),
    (
        "A notebook raises because of a bug",
        "everybody shows the traceback and waits; mend the cell, run it again: " + SAME,
        ["test_who_mends_a_bug_and_runs_the_cell_again_goes_on_where_it_struck"],
    ),
    (
        "A party never comes back",
        "after `repair_timeout` an error names it",
        ["test_nobody_waits_longer_than_the_repair_timeout"],
    ),
    (
        "Several parties failed when they had missed only the end of the run",
        "each reads the result when its notebook is run again",
        ["test_who_missed_the_end_reads_it_although_another_that_missed_it_failed"],
    ),
    (
        "With `quorum`: a collaborator is too slow, dead, or sends NaN",
        "the round closes without it, and the result says so; a slow one takes part in the next round",
        [
            "test_a_straggler_is_left_out_of_its_round_and_takes_part_in_the_next",
            "test_a_dead_collaborator_does_not_end_a_run_with_a_quorum",
            "test_a_poisoned_update_is_left_out_if_the_others_are_enough",
            "test_a_quorum_that_is_not_met_is_an_error_that_names_who_is_missing",
        ],
    ),
    (
        "Two notebooks claim to be the same party",
        "the second is refused; one whose place was taken while it was frozen is told so",
        [
            "test_a_second_notebook_of_a_living_party_is_refused",
            "test_a_zombie_whose_place_was_taken_is_told_so",
        ],
    ),
    (
        "Messages come twice and out of order",
        SAME,
        ["test_messages_that_come_twice_and_out_of_order_change_nothing"],
    ),
    (
        "A payload is damaged on the way",
        "refused, with the sender's name",
        ["test_a_payload_whose_parts_were_swapped_is_refused"],
    ),
    (
        "A party has another model, other shapes, NaN or infinite weights",
        "refused, with the party's and the layer's name (`allow_non_finite=True` accepts NaN)",
        [
            "test_another_model_is_named_before_any_training",
            "test_other_shapes_in_the_middle_of_a_run_are_refused_and_named",
            "test_an_update_with_nan_or_infinity_is_refused_and_named",
            "test_whoever_wants_nan_gets_nan",
        ],
    ),
    ("Weights of 600 MB", "arrive", ["test_a_payload_of_600_megabytes_arrives"]),
    (
        "200 rounds with 8 parties",
        "memory of server and parties stays flat, nothing piles up on the server",
        ["test_memory_stays_flat_and_nothing_piles_up"],
    ),
]


def summarise(sweep: dict[str, Any], tests: ElementTree.Element) -> dict[str, Any]:
    """How many kills were survived, by what was killed and algorithm; how many cases of every test passed."""
    kills: dict[str, dict[str, list[int]]] = {}
    for outcome in sweep["outcomes"]:
        counts = kills.setdefault(outcome["strike"]["target"], {}).setdefault(outcome["scenario"], [0, 0])
        counts[0] += not outcome["problem"]
        counts[1] += 1
    passed: Counter[str] = Counter()
    cases: Counter[str] = Counter()
    for case in tests.iter("testcase"):
        name = case.attrib["name"].split("[")[0]
        cases[name] += 1
        passed[name] += not any(case.find(tag) is not None for tag in ("failure", "error", "skipped"))
    wanted = [name for _, _, names in ROWS for name in names]
    return {
        "kills": kills,
        "counting": sweep["counting"],
        "tests": {name: [passed[name], cases[name]] for name in wanted},
    }


def render(summary: dict[str, Any]) -> str:
    """The README's table."""
    lines = ["| What happens | What becomes of it | Shown by |", "|---|---|---|"]
    for target, what in (
        ("party", "A party is killed (`kill -9`) at any step of the protocol, and its notebook run again"),
        ("server", "The server is killed at any step of a party, and comes back without its data"),
    ):
        counts = summary["kills"].get(target, {})
        shown = ", ".join(f"{NAMES[name]} {good} of {all_}" for name, (good, all_) in counts.items())
        lines.append(f"| {what} | {SAME}; PSI: the same intersection | kills survived: {shown} |")
    for what, outcome, names in ROWS:
        good, all_ = (sum(summary["tests"][name][place] for name in names) for place in (0, 1))
        lines.append(f"| {what} | {outcome} | {good} of {all_} test cases |")
    return "\n".join(lines)


def readme_with(table: str, text: str) -> str:
    """The README with this table between its markers."""
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise SystemExit(f"README.md has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main() -> int:
    if "--readme" not in sys.argv:
        sweep = json.loads((RESULTS / "sweep.json").read_text())
        summary = summarise(sweep, ElementTree.parse(RESULTS / "tests.xml").getroot())
        SUMMARY.write_text(json.dumps(summary, indent=1) + "\n")
    readme = REPOSITORY / "README.md"
    summary = json.loads(SUMMARY.read_text())
    readme.write_text(readme_with(render(summary), readme.read_text("utf-8")), "utf-8")
    print(render(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
