"""FedAvg against independent oracles, and what happens when something is wrong. Parties are real processes."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from scripted_parties import ScriptedParties
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from playground_ext.bus.server import EmbeddedServer
from playground_ext.scheduler.seeding import seed_everything

PARTY = """
import sys, torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset
import torch.nn.functional as F
from playground_ext import logger, mock_context
from playground_ext.fed_avg import FedAvgScheduler, FedSGDScheduler

ME, NODES, TASK = {me!r}, {nodes!r}, "t"

def samples(party):
    n = 40 + 24 * NODES.index(party)
    g = torch.Generator().manual_seed(NODES.index(party))
    return TensorDataset(torch.randn(n, 6, generator=g), torch.randint(0, 3, (n,), generator=g))

class Demo(FedAvgScheduler):
    def build_model(self):
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    def build_optimizer(self, model):
        return optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    def build_train_dataloader(self):
        return DataLoader(samples(self.id), batch_size=16, shuffle=True)
    def build_test_dataloader(self):
        return DataLoader(samples(NODES[0]), batch_size=200)
    def train_an_epoch(self):
        self.model.train()
        for x, y in self.train_loader:
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()
            self.optimizer.step()
        return {{"loss": loss.item()}}
    def run_test(self):
        self.model.eval()
        with torch.no_grad():
            (x, y), = self.test_loader
            return {{"accuracy": (self.model(x).argmax(1) == y).float().mean()}}
{body}
with mock_context(id=ME, nodes=NODES, task_id=TASK):
    scheduler = {make}
    result = scheduler.run()
print("RESULT", result.rounds, result.model_file)
"""

MAKE = "Demo(max_rounds=3, log_rounds=1, calculation_timeout=30)"


def script(me: str, nodes: list[str], *, body: str = "", make: str = MAKE) -> str:
    return PARTY.format(me=me, nodes=nodes, body=body, make=make)


def names(collaborators: int) -> list[str]:
    return ["aggregator", *(f"collaborator-{n}" for n in range(1, collaborators + 1))]


def results(tmp_path: Path, party: str) -> Path:
    return tmp_path / "home" / "t" / party / "latest" / "results"


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def samples(index: int) -> TensorDataset:
    n = 40 + 24 * index
    generator = torch.Generator().manual_seed(index)
    return TensorDataset(torch.randn(n, 6, generator=generator), torch.randint(0, 3, (n,), generator=generator))


def plain_training(nodes: list[str], rounds: int, epochs: int = 1) -> dict[str, torch.Tensor]:
    """The oracle: the same training in one process, averaged by numpy-like arithmetic, without any of our protocol."""
    torch.set_num_threads(1)  # equal bits need equal thread counts
    seed_everything(0, "aggregator", 0)
    start = {name: tensor.clone() for name, tensor in model().state_dict().items()}
    local = {}
    for index, node in enumerate(nodes[1:], start=1):
        net = model()
        local[node] = (
            net,
            optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
            DataLoader(samples(index), 16, shuffle=True),
        )
    for round in range(1, rounds + 1):
        for node, (net, optimizer, loader) in local.items():
            net.load_state_dict(start)
            seed_everything(0, node, round)
            for _ in range(epochs):
                net.train()
                for x, y in loader:
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(net(x), y).backward()
                    optimizer.step()
        states = [(len(loader.dataset), net.state_dict()) for net, _, loader in local.values()]
        total = sum(n for n, _ in states)
        start = {
            name: sum(n * state[name].double() for n, state in states).div(total).to(tensor.dtype)
            if tensor.is_floating_point()
            else states[0][1][name].clone()
            for name, tensor in start.items()
        }
    return start


def test_with_one_collaborator_fedavg_is_plain_training_bit_for_bit(parties: ScriptedParties, tmp_path: Path) -> None:
    nodes = names(1)
    make = "Demo(max_rounds=4, merge_epochs=2, calculation_timeout=30)"
    outcomes = parties.run({node: script(node, nodes, make=make) for node in nodes})

    assert {node: outcome.code for node, outcome in outcomes.items()} == dict.fromkeys(nodes, 0), outcomes
    expected = plain_training(nodes, 4, epochs=2)
    for node in nodes:  # the final model reaches every party
        trained = load_file(results(tmp_path, node) / "model.safetensors")
        assert {name: tensor.numpy().tobytes() for name, tensor in trained.items()} == {
            name: tensor.numpy().tobytes() for name, tensor in expected.items()
        }


def test_with_two_collaborators_it_is_the_weighted_average_of_two_plain_trainings(
    parties: ScriptedParties, tmp_path: Path
) -> None:
    nodes = names(2)
    outcomes = parties.run({node: script(node, nodes) for node in nodes})

    assert all(outcome.code == 0 for outcome in outcomes.values()), outcomes
    expected = plain_training(nodes, 3)
    trained = load_file(results(tmp_path, "collaborator-2") / "model.safetensors")
    for name, tensor in expected.items():
        torch.testing.assert_close(trained[name], tensor, rtol=1e-6, atol=1e-7)


def test_a_run_leaves_metrics_report_and_event_files(parties: ScriptedParties, tmp_path: Path) -> None:
    nodes = names(2)
    outcomes = parties.run({node: script(node, nodes) for node in nodes})

    assert all(outcome.code == 0 for outcome in outcomes.values()), outcomes
    rows = (results(tmp_path, "aggregator") / "metrics.csv").read_text().splitlines()
    assert rows[0] == "time,party,round,name,value"
    assert [row.split(",")[1:4] for row in rows[1:]] == [["aggregator", str(r), "test/accuracy"] for r in (1, 2, 3)]
    report = json.loads((results(tmp_path, "collaborator-1") / "report.json").read_text())
    assert (report["rounds"], report["role"], report["nodes"]) == (3, "collaborator", nodes)
    assert [entry["round"] for entry in report["round_reports"]] == [1, 2, 3]
    # one state dict a round, and the final one on top
    size = report["sent"]["aggregator"] // 3
    assert report["received"]["aggregator"] == 4 * size
    assert list(results(tmp_path, "aggregator").glob("events.out.tfevents.*"))


def test_every_party_prints_the_lines_of_all(parties: ScriptedParties) -> None:
    nodes = names(2)
    outcomes = parties.run({node: script(node, nodes) for node in nodes})

    for outcome in outcomes.values():
        for line in (
            "collaborator-1 | round 3 | trained: loss",
            "collaborator-2 | round 3 | trained",
            "round 3 | tested: acc",
        ):
            assert line in outcome.err


def test_an_aggregator_needs_no_training_data_and_a_collaborator_no_test_data(parties: ScriptedParties) -> None:
    forbid = "    {hook} = FedAvgScheduler.{hook}\n"
    untrained = "".join(
        forbid.format(hook=hook) for hook in ("build_optimizer", "build_train_dataloader", "train_an_epoch")
    )
    untested = "".join(forbid.format(hook=hook) for hook in ("build_test_dataloader", "run_test"))
    nodes = names(1)
    outcomes = parties.run(
        {"aggregator": script(nodes[0], nodes, body=untrained), nodes[1]: script(nodes[1], nodes, body=untested)}
    )

    assert all(outcome.code == 0 for outcome in outcomes.values()), outcomes


def test_a_missing_hook_is_named(parties: ScriptedParties) -> None:
    nodes = names(1)
    body = "    train_an_epoch = FedAvgScheduler.train_an_epoch\n"
    outcomes = parties.run({node: script(node, nodes, body=body) for node in nodes})

    assert "Demo has no train_an_epoch(), which the collaborator needs" in outcomes["collaborator-1"].err
    assert outcomes["aggregator"].code == 1


def test_the_aggregator_trains_too_when_it_is_involved(parties: ScriptedParties, tmp_path: Path) -> None:
    nodes = names(1)
    make = "Demo(max_rounds=2, involve_aggregator=True, calculation_timeout=30)"
    body = """
    def aggregate(self, updates):
        print("UPDATES", [(update.party, update.samples) for update in updates])
        return super().aggregate(updates)
"""
    outcomes = parties.run({node: script(node, nodes, make=make, body=body) for node in nodes})

    assert outcomes["aggregator"].code == 0, outcomes
    assert "UPDATES [('aggregator', 40), ('collaborator-1', 64)]" in outcomes["aggregator"].out


def test_a_custom_aggregation_and_an_early_end_are_the_users(parties: ScriptedParties, tmp_path: Path) -> None:
    nodes = names(2)
    body = """
    def aggregate(self, updates):
        return {name: torch.full_like(tensor, 7) for name, tensor in updates[0].state.items()}
    def is_task_finished(self):
        return self.current_round == 2
"""
    make = "Demo(max_rounds=50, calculation_timeout=30)"
    outcomes = parties.run({node: script(node, nodes, make=make, body=body) for node in nodes})

    assert "RESULT 2" in outcomes["collaborator-1"].out, outcomes
    assert float(load_file(results(tmp_path, "collaborator-1") / "model.safetensors")["0.weight"].mean()) == 7.0


def test_fedsgd_wants_the_whole_data_set_in_one_batch(parties: ScriptedParties) -> None:
    nodes = names(1)
    body = "Demo = type('Demo', (Demo, FedSGDScheduler), {})"
    wrong = script(nodes[1], nodes, body=body, make="type('SGD', (Demo, FedSGDScheduler), {})(max_rounds=2)")
    right = script(nodes[0], nodes, body="", make="type('SGD', (Demo, FedSGDScheduler), {})(max_rounds=2)")
    outcomes = parties.run({nodes[0]: right, nodes[1]: wrong.replace("Demo = type('Demo'", "_ = type('Demo'")})

    assert "FedSGD's batch is the whole data set; this train loader makes 4 batches" in outcomes[nodes[1]].err


def test_models_that_differ_are_named_before_any_training(parties: ScriptedParties) -> None:
    nodes = names(2)
    body = """
    def build_model(self):
        return nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Dropout(0.2), nn.Linear(9, 3))
    def train_an_epoch(self):
        print("TRAINED")
"""
    sources = {node: script(node, nodes) for node in nodes}
    outcomes = parties.run({**sources, "collaborator-2": script("collaborator-2", nodes, body=body)})

    assert [outcome.code for outcome in outcomes.values()] == [1, 1, 1]
    for outcome in outcomes.values():
        assert "collaborator-2 built another model than aggregator: 0.weight is" in outcome.err
        assert "TRAINED" not in outcome.out


def test_an_exception_in_one_party_ends_all_with_its_traceback(parties: ScriptedParties) -> None:
    nodes = names(2)
    body = """
    def train_an_epoch(self):
        if self.current_round == 2:
            raise ValueError("the scanner is on fire")
"""
    started = time.monotonic()
    sources = {node: script(node, nodes) for node in nodes}
    outcomes = parties.run({**sources, "collaborator-1": script("collaborator-1", nodes, body=body)})

    assert [outcome.code for outcome in outcomes.values()] == [1, 1, 1]
    assert time.monotonic() - started < 30
    for name in ("aggregator", "collaborator-2"):
        assert "PartyFailed: collaborator-1 failed (collaborator-1.py, line" in outcomes[name].err
        assert 'raise ValueError("the scanner is on fire")' in outcomes[name].err
    assert "ValueError: the scanner is on fire" in outcomes["collaborator-1"].err


def test_a_failure_interrupts_a_long_computation_elsewhere(parties: ScriptedParties) -> None:
    nodes = names(2)
    slow = "    def train_an_epoch(self):\n        for _ in range(6000): __import__('time').sleep(0.01)\n"
    failing = "    def train_an_epoch(self):\n        raise ValueError('early')\n"
    sources = {"aggregator": script("aggregator", nodes), "collaborator-1": script("collaborator-1", nodes, body=slow)}
    started = time.monotonic()
    outcomes = parties.run({**sources, "collaborator-2": script("collaborator-2", nodes, body=failing)})

    assert [outcome.code for outcome in outcomes.values()] == [1, 1, 1], outcomes
    assert time.monotonic() - started < 25  # one minute of sleep was cut short
    assert "PartyFailed: collaborator-2 failed" in outcomes["collaborator-1"].err


def test_a_killed_party_is_named_by_all_others(parties: ScriptedParties) -> None:
    nodes = names(2)
    body = "    def train_an_epoch(self):\n        import os, signal\n        os.kill(os.getpid(), signal.SIGKILL)\n"
    sources = {node: script(node, nodes) for node in nodes}
    outcomes = parties.run({**sources, "collaborator-2": script("collaborator-2", nodes, body=body)})

    assert outcomes["collaborator-2"].code == -signal.SIGKILL
    for name in ("aggregator", "collaborator-1"):
        assert outcomes[name].code == 1
        assert "PartyDied: collaborator-2 is gone: its process" in outcomes[name].err


def test_a_party_that_never_shows_up_is_named(parties: ScriptedParties, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_CHECK_IN_TIMEOUT", "3")
    nodes = names(2)
    outcomes = parties.run({node: script(node, nodes) for node in nodes[:2]})

    assert [outcome.code for outcome in outcomes.values()] == [1, 1]
    assert "PartyMissing: collaborator-2 did not check in within 3 s" in outcomes["aggregator"].err
    assert "collaborator-2 did not check in" in outcomes["collaborator-1"].err


def test_without_an_initiator_the_others_say_whom_to_start(
    parties: ScriptedParties, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_CHECK_IN_TIMEOUT", "2")
    nodes = names(1)
    outcomes = parties.run({"collaborator-1": script("collaborator-1", nodes)})

    assert "aggregator did not open task t within 2 s" in outcomes["collaborator-1"].err
    assert "run aggregator's notebook" in outcomes["collaborator-1"].err


def test_a_late_party_is_told_what_it_missed(parties: ScriptedParties, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = names(1)
    assert all(outcome.code == 0 for outcome in parties.run({node: script(node, nodes) for node in nodes}).values())
    monkeypatch.setenv("PLAYGROUND_CHECK_IN_TIMEOUT", "2")
    outcome = parties.run({"collaborator-1": script("collaborator-1", nodes)})["collaborator-1"]

    assert "waiting for aggregator (its last run has ended). Start them" in outcome.err
    assert "aggregator did not open task t within 2 s (its last run has ended)" in outcome.err


def test_a_second_party_of_the_same_id_is_refused_and_the_first_goes_on(parties: ScriptedParties) -> None:
    nodes = names(1)
    parties.start("collaborator-1", script("collaborator-1", nodes))
    _wait_for(lambda: "waiting for aggregator" in parties.output("collaborator-1"))
    parties.start("twin", script("collaborator-1", nodes))
    _wait_for(lambda: "DuplicateParty" in parties.output("twin"))
    parties.start("aggregator", script("aggregator", nodes))
    outcomes = parties.finish()

    assert (outcomes["collaborator-1"].code, outcomes["aggregator"].code, outcomes["twin"].code) == (0, 0, 1)
    assert "collaborator-1 already takes part in task t (process" in outcomes["twin"].err


def test_different_ideas_of_who_takes_part_are_explained(parties: ScriptedParties) -> None:
    parties.start("aggregator", script("aggregator", names(2)))  # waits for one that never comes
    parties.start("collaborator-1", script("collaborator-1", names(1))).join(60)

    expected = (
        "aggregator expects aggregator, collaborator-1, collaborator-2; this notebook says aggregator, collaborator-1"
    )
    assert expected in parties.output("collaborator-1")


def test_a_second_run_of_the_same_task_starts_afresh(parties: ScriptedParties, tmp_path: Path) -> None:
    nodes = names(1)
    first = parties.run({node: script(node, nodes) for node in nodes})
    before = load_file(results(tmp_path, "collaborator-1") / "model.safetensors")
    second = parties.run({node: script(node, nodes) for node in nodes})
    after = load_file(results(tmp_path, "collaborator-1") / "model.safetensors")

    assert [outcome.code for outcome in (*first.values(), *second.values())] == [0, 0, 0, 0]
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (
        len([folder for folder in (tmp_path / "home/t/aggregator").iterdir() if folder.is_dir()]) == 3
    )  # and `latest`


def test_a_used_scheduler_runs_again(parties: ScriptedParties) -> None:
    nodes = names(1)
    twice = (
        "with mock_context(id=ME, nodes=NODES, task_id=TASK):\n"
        "    again = scheduler.run()\n"
        "assert again.run != result.run\n"
    )
    again = PARTY + twice
    outcomes = parties.run({node: again.format(me=node, nodes=nodes, body="", make=MAKE) for node in nodes})

    assert [outcome.code for outcome in outcomes.values()] == [0, 0], outcomes


def test_the_initiators_arguments_count(parties: ScriptedParties) -> None:
    nodes = names(1)
    sources = {
        "aggregator": script("aggregator", nodes, make="Demo(max_rounds=2, seed=5)"),
        "collaborator-1": script("collaborator-1", nodes, make="Demo(max_rounds=9)"),
    }
    outcomes = parties.run(sources)

    assert "RESULT 2" in outcomes["collaborator-1"].out, outcomes
    assert "max_rounds=9 here, the initiator says 2, which counts" in outcomes["collaborator-1"].err


def test_alphameds_spelling_of_run_works_and_the_initiator_need_not_come_first(parties: ScriptedParties) -> None:
    nodes = ["collaborator-1", "aggregator"]

    def spelled(me: str, initiator: bool) -> str:
        source = script(me, nodes).replace("task_id=TASK", "").replace("nodes=NODES, )", "nodes=NODES)")
        return source.replace(
            "scheduler.run()", f"scheduler._run(id=ME, task_id=TASK, is_initiator={initiator})"
        ).replace("samples(NODES[0])", "samples('aggregator')")

    outcomes = parties.run(
        {"aggregator": spelled("aggregator", True), "collaborator-1": spelled("collaborator-1", False)}
    )

    assert [outcome.code for outcome in outcomes.values()] == [0, 0], outcomes


def test_launch_task_takes_the_party_from_the_environment(parties: ScriptedParties) -> None:
    nodes = names(1)
    for node in nodes:
        source = script(node, nodes).replace("with mock_context(id=ME, nodes=NODES, task_id=TASK):", "if True:")
        source = source.replace("scheduler.run()", "scheduler.launch_task(task_id=TASK)")
        parties.start(node, source, env={"PLAYGROUND_PARTY": node, "PLAYGROUND_NODES": ",".join(nodes)})
    outcomes = parties.finish()

    assert [outcome.code for outcome in outcomes.values()] == [0, 0], outcomes


def test_a_collaborator_interrupted_while_it_waits_may_come_back(parties: ScriptedParties) -> None:
    nodes = names(2)
    parties.start("aggregator", script("aggregator", nodes))
    first = parties.start("first", script("collaborator-1", nodes))
    _wait_for(lambda: "waiting for collaborator-2" in parties.output("first"))
    os.kill(first.pid, signal.SIGINT)
    first.join(10)
    parties.start("collaborator-1", script("collaborator-1", nodes))
    parties.start("collaborator-2", script("collaborator-2", nodes))
    outcomes = parties.finish()

    assert {name: outcome.code for name, outcome in outcomes.items()} == {
        "aggregator": 0,
        "first": 130,
        "collaborator-1": 0,
        "collaborator-2": 0,
    }, outcomes


def test_an_unreachable_server_is_named_with_what_to_do(parties: ScriptedParties) -> None:
    nodes = names(1)
    parties.start(
        "aggregator", script("aggregator", nodes), env={"PLAYGROUND_REDIS_URL": "redis://:secret@127.0.0.1:1/0"}
    )
    outcome = parties.finish()["aggregator"]

    assert outcome.code == 1
    assert "ServerUnreachable: no server answers at redis://:***@127.0.0.1:1/0" in outcome.err
    assert "secret" not in outcome.err


def test_a_metric_that_is_not_a_number_is_named(parties: ScriptedParties) -> None:
    nodes = names(1)
    body = "    def run_test(self):\n        return {'accuracy': 'high'}\n"
    outcomes = parties.run({node: script(node, nodes, body=body) for node in nodes})

    assert "the metric 'test/accuracy' is 'high', which is not a number" in outcomes["aggregator"].err


def _wait_for(condition: object, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            pytest.fail("it did not happen in time")
        time.sleep(0.05)


def test_a_server_that_restarts_without_its_data_does_not_end_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truth lives in the parties' folders: nobody notices more than a pause, and the model is the same."""
    nodes = names(2)
    slow = """
    def num_samples(self):
        __import__("time").sleep(0.5)
        return super().num_samples()
"""
    folder = Path(tempfile.gettempdir()) / f"pg-restart-{os.getpid()}"
    monkeypatch.setenv("PLAYGROUND_REDIS_URL", f"unix://{folder}/s")
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    processes = ScriptedParties(scripts)
    make = "Demo(max_rounds=6, log_rounds=1, calculation_timeout=60)"
    try:
        with EmbeddedServer(folder) as first:
            assert first.url == os.environ["PLAYGROUND_REDIS_URL"]
            for node in nodes:
                processes.start(node, script(node, nodes, body=slow, make=make))
            _wait_for(lambda: "round 2 | tested" in processes.output("aggregator"))
        time.sleep(1.0)
        with EmbeddedServer(folder):
            outcomes = processes.finish()
    finally:
        processes.kill()

    assert [outcome.code for outcome in outcomes.values()] == [0, 0, 0], outcomes
    expected = plain_training(nodes, 6)
    trained = load_file(results(tmp_path, "collaborator-1") / "model.safetensors")
    for name, tensor in expected.items():
        torch.testing.assert_close(trained[name], tensor, rtol=1e-6, atol=1e-7)


def test_a_party_whose_run_failed_while_it_was_starting_ends_at_once_with_the_reason(
    parties: ScriptedParties, tmp_path: Path
) -> None:
    nodes = names(1)
    gate = tmp_path / "failed"
    late = f"import time\nfrom pathlib import Path\nwhile not Path({str(gate)!r}).exists(): time.sleep(0.05)\n"
    broken = "    def build_model(self):\n        raise ValueError('no model today')\n"
    parties.start("collaborator-1", late + script("collaborator-1", nodes))
    parties.start("aggregator", script("aggregator", nodes, body=broken))
    parties.process("aggregator").join(60)
    gate.touch()
    started = time.monotonic()
    outcomes = parties.finish()

    assert outcomes["collaborator-1"].code == 1
    assert time.monotonic() - started < 50  # the check-in deadline is 120 s
    assert "PartyFailed: aggregator failed" in outcomes["collaborator-1"].err
    assert "no model today" in outcomes["collaborator-1"].err
