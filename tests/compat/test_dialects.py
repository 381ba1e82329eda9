"""Schedulers written for AlphaMed, both generations of its interface: they run, and find on `self` what they expect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from alphamed_documents import INSTALL

# A regression that converges in a few steps: y = 2 x0 - x1, 40 samples at each collaborator.
DATA = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from alphafed import logger, mock_context
TASK = 'b2f615fb-f2e7-4aa0-b5fb-a4fd68c6f38a'

def samples(seed):
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, (2 * x[:, 0] - x[:, 1]).unsqueeze(1))
"""

SINCE_2023 = (
    DATA
    + """
from alphafed.fed_avg import FedAvgScheduler

class Avg(FedAvgScheduler):
    def __init__(self, max_rounds=0, merge_epochs=1, calculation_timeout=300, log_rounds=0, involve_aggregator=False,
                 learning_rate=0.1):
        super().__init__(max_rounds=max_rounds, merge_epochs=merge_epochs, calculation_timeout=calculation_timeout,
                         log_rounds=log_rounds, involve_aggregator=involve_aggregator)
        self.learning_rate = learning_rate
        self.seed = 42
    def build_model(self): return nn.Linear(2, 1)
    def build_optimizer(self, model):
        assert self.model, 'must initialize model first'
        return torch.optim.SGD(self.model.parameters(), lr=self.learning_rate)
    def build_train_dataloader(self): return DataLoader(samples(len(self.id)), batch_size=40)
    def build_validation_dataloader(self): return DataLoader(samples(3), batch_size=40)
    def build_test_dataloader(self): return DataLoader(samples(99), batch_size=40)
    def state_dict(self): return self.model.state_dict()
    def load_state_dict(self, state_dict): self.model.load_state_dict(state_dict)
    def validate_context(self):
        super().validate_context()
        assert self.train_loader and len(self.train_loader) > 0, 'failed to load train data'
    def train_an_epoch(self):
        self.model.train()
        for data, labels in self.train_loader:
            self.optimizer.zero_grad()
            loss = nn.functional.mse_loss(self.model(data), labels)
            loss.backward()
            self.optimizer.step()
        self.push_log(f'trained round {self.current_round}')
        return loss  # AlphaMed ignores it
    @torch.no_grad()
    def run_test(self):
        for data, labels in self.test_loader:
            loss = nn.functional.mse_loss(self.model(data), labels)
        self.tb_writer.add_scalar('test_results/average_loss', loss, self.current_round)
        self._switch_status('tested')
"""
)

OF_2022 = (
    DATA
    + """
from alphafed.fed_avg import FedAvgScheduler, register_metrics

class Avg(FedAvgScheduler):
    def make_model(self): return nn.Linear(2, 1)
    def make_optimizer(self, model): return torch.optim.SGD(model.parameters(), lr=0.1)
    def make_train_dataloader(self): return DataLoader(samples(len(self.id)), batch_size=40)
    def make_test_dataloader(self): return DataLoader(samples(99), batch_size=40)
    def train(self):
        for data, labels in self.train_loader:
            self.optimizer.zero_grad()
            nn.functional.mse_loss(self.model(data), labels).backward()
            self.optimizer.step()
    @register_metrics(name='test_results', keys=['average_loss'])
    def test(self):
        for data, labels in self.test_loader:
            loss = nn.functional.mse_loss(self.model(data), labels)
        self.get_metrics('test_results').append_metrics_item({'average_loss': loss.item()})
"""
)

RUN = """
with mock_context(id=ME, nodes=NODES):
    scheduler._run(id=ME, task_id=TASK, is_initiator=ME == NODES[0])
"""
NODES = ["1bb9feba-7b53-455b-b127-0eb19ffc9d3f", "663ad4b0", "0fc1a571-2920"]


def script(source: str, scheduler: str, me: str, nodes: list[str], after: str = "", run: str = RUN) -> str:
    return f"ME, NODES = {me!r}, {nodes!r}\n{source}\nscheduler = {scheduler}\n{run}\n{after}"


LOOK = """
print('ids', scheduler.id == ME, scheduler.task_id == TASK, scheduler.name == TASK)
print('who', scheduler.is_initiator, scheduler.is_aggregator)
print('rounds', scheduler.current_round, scheduler.max_rounds, scheduler._is_reach_max_rounds())
print('status', scheduler.status)
print('loaders', len(scheduler.train_loader), len(scheduler.validation_loader), len(scheduler.test_loader))
import os
print('folders', os.listdir(scheduler._result_dir) != [], os.path.isdir(scheduler._log_dir))
print('weights', [round(w, 3) for w in scheduler.model.weight.flatten().tolist()])
print('optimizer', type(scheduler.optimizer).__name__)
"""


def test_package_0_4_9(play):
    scheduler = "Avg(max_rounds=25, log_rounds=5, calculation_timeout=60)"

    outcomes = play({node: script(SINCE_2023, scheduler, node, NODES, LOOK) for node in NODES})

    lines = dict(line.split(" ", 1) for line in outcomes[NODES[0]].out.splitlines())
    assert lines["ids"] == "True True True"
    assert lines["who"] == "True True"
    assert lines["rounds"] == "25 25 True"
    assert lines["status"] == "tested"
    assert lines["loaders"] == "1 1 1"
    assert lines["folders"] == "True True"
    assert lines["optimizer"] == "SGD"
    # y = 2 x0 - x1, whatever the parties' samples are
    assert eval(lines["weights"]) == pytest.approx([2, -1], abs=0.05)
    assert "who False False" in outcomes[NODES[1]].out
    assert "trained round 25" in outcomes[NODES[0]].err  # everybody's lines everywhere


def test_the_guide_of_2022_and_both_generations_in_one_task(play):
    """An aggregator of one generation with collaborators of both."""
    options = "name='demo', min_clients=2, max_clients=2, max_rounds=2, log_rounds=1, data_channel_timeout=(30, 60)"
    after = "print(open(scheduler._result_dir + '/test_results.csv').read().split()[0], scheduler.name)"
    newer = f"Avg(max_rounds={0})"

    outcomes = play(
        {
            NODES[0]: script(OF_2022, f"Avg({options})", NODES[0], NODES, after),
            NODES[1]: script(OF_2022, f"Avg({options})", NODES[1], NODES),
            NODES[2]: script(SINCE_2023, newer, NODES[2], NODES, "print(scheduler.current_round)"),
        }
    )

    assert outcomes[NODES[0]].out.split() == ["round,average_loss", "demo"]
    assert outcomes[NODES[2]].out.split() == ["2"]  # the initiator's rounds


def test_production_is_launch_task_and_who_this_is_comes_from_the_environment(parties, play):
    run = "print(scheduler.{}(task_id=TASK).rounds)"
    for node, call in ((NODES[0], "submit"), (NODES[1], "launch_task")):
        source = script(SINCE_2023, "Avg(max_rounds=2)", node, NODES[:2], run=run.format(call))
        parties.start(node, INSTALL + source, {"PLAYGROUND_PARTY": node, "PLAYGROUND_NODES": ",".join(NODES[:2])})

    outcomes = parties.finish()

    assert [outcome.out.split() for outcome in outcomes.values()] == [["2"], ["2"]], outcomes


def test_a_part_of_the_model_may_be_shared(play):
    part = "def state_dict(self): return {'weight': self.model.weight}\n    def load_state_dict(self, state_dict): "
    part += "self.model.load_state_dict(state_dict)\n    "
    source = SINCE_2023.replace(
        "def state_dict(self): return self.model.state_dict()\n"
        "    def load_state_dict(self, state_dict): self.model.load_state_dict(state_dict)\n    ",
        part,
    ).replace("return nn.Linear(2, 1)", "torch.manual_seed(len(self.id)); return nn.Linear(2, 1)")
    after = "print(scheduler.model.weight.tolist(), scheduler.model.bias.item())"

    outcomes = play({node: script(source, "Avg(max_rounds=2)", node, NODES[:2], after) for node in NODES[:2]})

    first, second = (outcomes[node].out.split("]] ") for node in NODES[:2])
    assert first[0] == second[0]  # the weights are everybody's,
    assert first[1] != second[1]  # the bias is each party's own


def test_fed_sgd_wants_one_batch_with_all_data(play):
    source = SINCE_2023.replace("FedAvgScheduler", "FedSGDScheduler").replace(
        "samples(len(self.id)), batch_size=40", "B"
    )
    right, wrong = (source.replace("(B)", f"(samples(1), batch_size={size})") for size in (40, 20))

    play({node: script(right, "Avg(max_rounds=1)", node, NODES[:2]) for node in NODES[:2]})
    outcomes = play({node: script(wrong, "Avg(max_rounds=1)", node, NODES[:2]) for node in NODES[:2]}, fails=True)

    assert "FedSGD's batch is the whole data set; this train loader makes 2 batches" in outcomes[NODES[1]].err


VARIANTS = {
    "DPFedAvgScheduler(w_cap=40, q=1.0, S=1.0, z=0.0": "def train_a_batch(self, data, labels):",
    "FedProxScheduler(mu=0.01": "def train_an_epoch(self):",
    "SecureFedAvgScheduler(t=2": "def train_an_epoch(self):",
}


@pytest.mark.parametrize("call", VARIANTS)
def test_the_other_ways_to_average(play, call):
    base = call.partition("(")[0]
    module = {"FedProxScheduler": "alphafed.fed_avg.fed_prox"}.get(base, "alphafed.fed_avg")
    loss = "nn.functional.mse_loss(self.model(data), labels)"
    if base == "FedProxScheduler":
        loss = "self.calc_prox_loss(nn.functional.mse_loss, self.model(data), labels)"
    step = f"self.optimizer.zero_grad(); {loss}.backward(); self.optimizer.step()"
    if base != "DPFedAvgScheduler":
        step = f"\n        for data, labels in self.train_loader: {step}"
    source = DATA + (
        f"from {module} import {base}\n"
        f"class Avg({base}):\n"
        "    def build_model(self): return nn.Linear(2, 1)\n"
        "    def build_optimizer(self, model): return torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "    def build_train_dataloader(self): return DataLoader(samples(len(self.id)), batch_size=40)\n"
        "    def build_test_dataloader(self): return DataLoader(samples(99), batch_size=40)\n"
        f"    {VARIANTS[call]} {step}\n"
        "    def run_test(self): pass\n"
    )
    scheduler = f"Avg({call.partition('(')[2]}, max_rounds=20, log_rounds=10)"
    after = "print(scheduler.model.weight.tolist())"

    outcomes = play({node: script(source, scheduler, node, NODES, after) for node in NODES})

    (weights,) = eval(outcomes[NODES[0]].out)
    assert weights == pytest.approx([2, -1], abs=0.2)


SPLIT = (
    DATA
    + """
from alphafed.hetero_nn import HeteroNNCollaboratorScheduler, HeteroNNHostScheduler
x, y = samples(7).tensors

class Side:
    def load_local_ids(self): return [str(i) for i in range(40)] + [f'only {ME}']
    def split_dataset(self, id_intersection):
        ids = sorted(id_intersection, key=int)
        return set(ids[:32]), set(ids[32:])
    def build_feature_model(self): return nn.Linear(1, 1)
    def build_feature_optimizer(self, feature_model): return torch.optim.SGD(feature_model.parameters(), lr=0.05)

class Host(Side, HeteroNNHostScheduler):
    def iterate_train_feature(self, feature_model, train_ids):
        yield feature_model(x[:32, :1]), y[:32]
    def iterate_test_feature(self, feature_model, test_ids):
        yield feature_model(x[32:, :1]), y[32:]
    def build_infer_model(self): return nn.Linear(2, 1)
    def build_infer_optimizer(self, infer_model): return torch.optim.SGD(infer_model.parameters(), lr=0.05)
    def train_a_batch(self, feature_projection, labels):
        self.optimizer.zero_grad()
        joined = torch.concat((feature_projection['h'], feature_projection['c']), dim=1)
        loss = nn.functional.mse_loss(self.infer_model(joined), labels)
        loss.backward()
        self.optimizer.step()
        return loss
    def run_test(self, *, batched_labels, batched_feature_projections):
        joined = torch.concat((batched_feature_projections[0]['h'], batched_feature_projections[0]['c']), dim=1)
        loss = nn.functional.mse_loss(self.infer_model(joined), batched_labels[0])
        self.tb_writer.add_scalar('test_results/average_loss', loss, self.current_round)

class Collaborator(Side, HeteroNNCollaboratorScheduler):
    def iterate_train_feature(self, feature_model, train_ids):
        yield feature_model(x[:32, 1:])
    def iterate_test_feature(self, feature_model, test_ids):
        yield feature_model(x[32:, 1:])
"""
)
SIDES = {"host": "Host(feature_key='h', max_rounds=3, log_rounds=1)", "other": "Collaborator(feature_key='c')"}


def test_split_learning_calls_run_test_by_keyword_and_shows_the_common_ids(play):
    after = (
        "print(len(scheduler.id_intersection), len(scheduler.train_ids), len(scheduler.test_ids), scheduler.is_host)\n"
    )
    after += "print(scheduler.feature_key, type(scheduler.feature_model).__name__, scheduler.current_round)"

    outcomes = play({party: script(SPLIT, scheduler, party, list(SIDES), after) for party, scheduler in SIDES.items()})

    assert outcomes["host"].out.split() == ["40", "32", "8", "True", "h", "Linear", "3"]
    assert outcomes["other"].out.split() == ["40", "32", "8", "False", "c", "Linear", "3"]


def test_a_model_too_narrow_for_the_features_is_said_in_words(play):
    source = SPLIT.replace(
        "def build_infer_model(self): return nn.Linear(2, 1)", "def build_infer_model(self): return nn.Linear(3, 1)"
    )

    outcomes = play(
        {party: script(source, scheduler, party, list(SIDES)) for party, scheduler in SIDES.items()}, fails=True
    )

    words = "in train_a_batch, a layer that takes 3 numbers a sample is given 2 (of 32 samples)"
    assert words in outcomes["host"].err
    assert words in outcomes["other"].err


def test_a_scheduler_speaks_by_contractor_and_data_channel_in_its_own_run(play):
    source = (
        SINCE_2023
        + """
from dataclasses import dataclass
from alphafed.contractor import ContractEvent, TaskMessageContractor, TaskMessageEventFactory

@dataclass
class Note(ContractEvent):
    TYPE = 'note'
    text: str

class Talking(Avg):
    def train_an_epoch(self):
        super().train_an_epoch()
        if self.current_round == 1:
            contractor = self.contractor
            contractor._event_factory = type('F', (TaskMessageEventFactory,), {'_CLASS_MAP': {'note': Note}})
            other = [node for node in contractor.query_nodes() if node not in (self.id, NODES[0])][0]
            contractor._new_contract([other], Note(f'from {self.id}'))
            self.data_channel.send_stream(self.id, other, b'bytes of ' + self.id.encode())
            print(next(contractor.contract_events(timeout=20)).text == f'from {other}')
            print(self.data_channel.receive_stream(self.id, other) == (other, b'bytes of ' + other.encode()))
            contractor.report_progress(50)
"""
    )

    outcomes = play({node: script(source, "Talking(max_rounds=3)", node, NODES) for node in NODES})

    assert outcomes[NODES[1]].out.split() == outcomes[NODES[2]].out.split() == ["True", "True"]
    assert "50 % done" in outcomes[NODES[0]].err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("max_rounds=5", "max_rounds=0"), "max_rounds=0 is no number of rounds"),
        (("max_rounds=5", "max_rounds=5, min_clients=3"), "min_clients=3, but 1 of the parties train"),
        (("max_rounds=5", "min_clients=2, max_clients=1"), "min_clients=2 exceeds max_clients=1"),
        (("max_rounds=5", "max_clients=0"), "max_clients=0 is not a number of parties"),
        (("max_rounds=5", "data_channel_timeout=30"), "data_channel_timeout=30 is not two numbers of seconds"),
        (("def make_model", "def _train(self): pass\n    def make_model"), "Avg._train has the name of a part of"),
    ],
)
def test_arguments_that_cannot_work_are_said_in_words(play, change, words):
    sources = {node: script(OF_2022, "Avg(max_rounds=5)", node, NODES[:2]).replace(*change) for node in NODES[:2]}

    outcomes = play(sources, fails=True, PLAYGROUND_CHECK_IN_TIMEOUT="20")

    assert words in outcomes[NODES[0]].err


WHO_TRAINED = """
with mock_context(id=ME, nodes=NODES):
    result = scheduler._run(id=ME, task_id=TASK, is_initiator=ME == NODES[0])
print([tuple(NODES.index(node) for node in report.participants) for report in result.round_reports])
"""


def who_trained(play, options: str, source: str = OF_2022, nodes: list[str] = NODES, **others: bool):
    """The places in NODES of those that trained, by round, and what everybody said."""
    outcomes = play({node: script(source, f"Avg({options})", node, nodes, run=WHO_TRAINED) for node in nodes}, **others)
    return eval(outcomes[nodes[0]].out), outcomes


def test_of_more_parties_than_max_clients_some_rest_in_each_round(play):
    trained, outcomes = who_trained(play, "min_clients=1, max_clients=1, max_rounds=6")

    assert set(trained) == {(1,), (2,)}  # one in each round, and not always the same
    lines = outcomes[NODES[0]].err.splitlines()  # everybody's
    rest = {
        f"{NODES[3 - place]} | round {number} | resting: others train in this round"
        for number, (place,) in enumerate(trained, start=1)
    }
    for number, (place,) in enumerate(trained, start=1):
        assert f"{NODES[0]} | round {number} | max_clients=1: drawn for this round: {NODES[place]}" in lines
    said = {line for line in lines if "resting" in line}
    assert said
    assert said <= rest  # nobody waits for one who rests: it may hear of a later round first


def test_an_aggregator_that_comes_back_after_a_crash_has_the_same_parties_train(parties, tmp_path: Path):
    source = OF_2022 + (
        "    def aggregate(self, updates):\n"
        "        import os\n"
        "        if self.current_round == 2 and not os.path.exists('died'):\n"
        "            open('died', 'w').close()\n"
        "            os._exit(9)\n"
        "        return super().aggregate(updates)\n"
    )
    scripts = {
        node: INSTALL + script(source, "Avg(max_clients=1, max_rounds=3)", node, NODES, run=WHO_TRAINED)
        for node in NODES
    }
    wait = {"PLAYGROUND_ON_PARTY_FAILURE": "wait"}
    for node in NODES:
        parties.start(node, scripts[node], wait)
    parties.process(NODES[0]).join(60)
    (kept,) = tmp_path.glob(f"home/*/{NODES[0]}/latest/drawn/round-000002.json")
    drawn = json.loads(kept.read_text())["participants"]
    parties.start(NODES[0], scripts[NODES[0]], wait)
    outcomes = parties.finish()

    assert [outcome.code for outcome in outcomes.values()] == [0, 0, 0], outcomes
    trained = eval(outcomes[NODES[0]].out)
    assert [len(parties) for parties in trained] == [1, 1, 1]
    assert [NODES[place] for place in trained[1]] == drawn


def test_an_aggregator_that_trains_is_one_of_max_clients(play):
    trained, _ = who_trained(play, "max_clients=2, involve_aggregator=True, max_rounds=3")

    assert [(len(parties), parties[0]) for parties in trained] == [(2, 0)] * 3


def test_while_min_clients_are_there_the_task_goes_on_without_a_party_that_died(play):
    dying = OF_2022.replace(
        "    def train(self):\n",
        "    def train(self):\n        if ME == NODES[2] and self.current_round == 2: import os; os._exit(9)\n",
    )

    trained, outcomes = who_trained(play, "min_clients=1, max_clients=2, max_rounds=4", source=dying, fails=True)

    assert trained == [(1, 2), (1,), (1,), (1,)]
    assert [outcomes[node].code for node in NODES] == [0, 0, 9]


def test_without_an_elected_aggregator_the_initiator_trains_too_and_says_what_it_sees(play):
    trained, outcomes = who_trained(play, "is_centralized=False, max_rounds=2", nodes=NODES[:2])

    assert trained == [(0, 1), (0, 1)]
    for outcome in outcomes.values():
        assert "is_centralized=False: no aggregator is elected in each round; the initiator aggregates" in outcome.err


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("SecureFedAvgScheduler(t=2, ", "masks are agreed between all collaborators"),
        ("DPFedAvgScheduler(w_cap=40, q=0.5, S=1.0, z=1.0, ", "each is drawn with probability q"),
    ],
)
def test_max_clients_cannot_let_parties_rest_where_privacy_is_about_all_of_them(play, call, words):
    base, _, options = call.partition("(")
    source = OF_2022.replace("FedAvgScheduler", base).replace("def train(self):", "def train_an_epoch(self):")

    outcomes = play(
        {node: script(source, f"Avg({options}max_clients=1, max_rounds=1)", node, NODES) for node in NODES}, fails=True
    )

    assert "max_clients=1, but 2 of the parties train, and none of them can rest in a round" in outcomes[NODES[0]].err
    assert words in outcomes[NODES[0]].err
    assert [outcome.code for outcome in outcomes.values()] == [1, 1, 1]


def test_a_class_may_end_the_task(play):
    """By `is_task_finished`, with max_rounds=0, which alone would go on for ever; or by TaskComplete."""
    source = SINCE_2023 + "\n    def is_task_finished(self): return self.current_round == 2\n"
    outcomes = play(
        {node: script(source, "Avg()", node, NODES[:2], "print(scheduler.current_round)") for node in NODES[:2]}
    )
    assert [outcome.out.split() for outcome in outcomes.values()] == [["2"], ["2"]]

    complete = SINCE_2023 + "\n    def run_test(self):\n        from alphafed.scheduler import TaskComplete\n"
    complete += "        raise TaskComplete()\n"
    outcomes = play(
        {
            node: script(complete, "Avg(max_rounds=9, log_rounds=3)", node, NODES[:2], "print(scheduler.current_round)")
            for node in NODES[:2]
        }
    )
    assert [outcome.out.split() for outcome in outcomes.values()] == [["3"], ["3"]]


def test_private_set_intersection_alone(play):
    initiator = """
from alphafed import mock_context
from alphafed.hetero_nn.psi import RSAPSIInitiatorScheduler
with mock_context(id='ann', nodes=['ann', 'ben']):
    print(sorted(RSAPSIInitiatorScheduler('psi', 'ann', ['1', '2', '3'], ['ben']).make_intersection()))
"""
    collaborator = """
from alphafed import mock_context
from alphafed.hetero_nn.psi import RSAPSICollaboratorScheduler
with mock_context(id='ben', nodes=['ann', 'ben']):
    print(sorted(RSAPSICollaboratorScheduler('psi', 'ben', ['2', '3', '4']).collaborate_intersection()))
"""
    outcomes = play({"ann": initiator, "ben": collaborator})

    assert outcomes["ann"].out.strip() == outcomes["ben"].out.strip() == "['2', '3']"


def test_a_scheduler_of_the_users_own_runs_by_context_and_by_launch_task(play, parties):
    source = (
        DATA
        + """
from alphafed.contractor import TaskMessageContractor
from alphafed.data_channel import SharedFileDataChannel
from alphafed.fed_avg import FedAvgScheduler
from alphafed.scheduler import Scheduler, TaskComplete, TaskFailed

class Sum(Scheduler):
    def __init__(self, number): self.number = number
    def _run(self, id, task_id, is_initiator=False, recover=False):
        self.id, self.task_id, self.is_initiator = id, task_id, is_initiator
        self._switch_status('summing')
        channel = SharedFileDataChannel(TaskMessageContractor(task_id))
        nodes = channel.contractor.query_nodes()
        if not is_initiator:
            channel.send_stream(id, nodes[0], bytes([self.number]))
            return
        nodes.remove(id)
        found = channel.batch_receive_stream(id, nodes, ensure_all_succ=True)
        self.push_log('all are here')
        print(self.status, sum(data[0] for data in found.values()), issubclass(FedAvgScheduler, Scheduler))
        raise TaskComplete()
"""
    )
    for number, node in enumerate(NODES):
        run = f"Sum({number + 1}).launch_task(task_id=TASK)"
        env = {"PLAYGROUND_PARTY": node, "PLAYGROUND_NODES": ",".join(NODES)}
        parties.start(node, INSTALL + script(source, "None", node, NODES, run=run), env)
    outcomes = parties.finish()

    # collaborators send 2 and 3
    assert outcomes[NODES[0]].out.split() == ["summing", "5", "True"], outcomes
    assert all(outcome.code == 0 for outcome in outcomes.values()), outcomes
    assert "all are here" in outcomes[NODES[1]].err
