"""Package 0.4.9's names, row by row of what was promised, with the arguments that AlphaMed's documents use."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
from typing import Any

import pytest

from playground_ext.errors import ConfigError, PlaygroundError

NAMES = {
    "alphafed": """mock_context is_mock_mode mock_node_id mock_nodes logger task_logger get_root_dir get_runtime_dir
        get_share_dir get_result_dir get_model_dir get_dataset_dir""",
    "alphafed.fs": "get_root_dir get_runtime_dir get_share_dir get_result_dir get_model_dir get_dataset_dir",
    "alphafed.scheduler": "Scheduler DataChecker ConfigError TaskFailed TaskComplete register_metrics",
    "alphafed.fed_avg": "FedAvgScheduler FedSGDScheduler DPFedAvgScheduler SecureFedAvgScheduler register_metrics",
    "alphafed.fed_avg.fed_prox": "FedProxScheduler",
    "alphafed.hetero_nn": "HeteroNNHostScheduler HeteroNNCollaboratorScheduler",
    "alphafed.hetero_nn.psi": "RSAPSIInitiatorScheduler RSAPSICollaboratorScheduler",
    "alphafed.contractor": "ContractEvent TaskMessageEventFactory TaskMessageContractor",
    "alphafed.contractor.common": "ContractEvent",
    "alphafed.data_channel": "SharedFileDataChannel GRPCDataChannel SendingError",
    "alphafed.data_channel.shared_file_data_channel": "SharedFileDataChannel",
    "alphafed.dataset.mnist": "FedMNIST",
}


def test_every_name_is_there(alphafed):
    for module, names in NAMES.items():
        found = importlib.import_module(module)
        missing = [name for name in names.split() if not hasattr(found, name)]
        assert not missing, f"{module} lacks {missing}"


# Arguments that AlphaMed's users write, in this order: by place, or by these names. "=…" is the default, which counts.
ARGUMENTS = {
    "alphafed.mock_context": "clean=False id=None nodes=None",
    "alphafed.get_root_dir": "task_id=None",
    "alphafed.get_runtime_dir": "task_id=None",
    "alphafed.get_share_dir": "task_id=None",
    "alphafed.get_result_dir": "task_id=None",
    "alphafed.get_model_dir": "task_id=None",
    "alphafed.get_dataset_dir": "task_id=None",
    "alphafed.scheduler.Scheduler._run": "id task_id is_initiator=False recover=False",
    "alphafed.scheduler.Scheduler.submit": "task_id=None",
    "alphafed.scheduler.Scheduler.push_log": "message",
    "alphafed.scheduler.Scheduler._switch_status": "_status",
    "alphafed.scheduler.DataChecker": "task_id",
    "alphafed.scheduler.DataChecker.verify_data": "",
    "alphafed.scheduler.DataChecker.submit": "",
    "alphafed.scheduler.DataChecker.execute_verification": "",
    "alphafed.scheduler.register_metrics": "name keys",
    "alphafed.fed_avg.FedAvgScheduler": "max_rounds=0 merge_epochs=1 calculation_timeout=300 schedule_timeout=30 "
    "log_rounds=0 involve_aggregator=False",
    "alphafed.fed_avg.FedAvgScheduler._run": "id task_id is_initiator=False recover=False",
    "alphafed.fed_avg.FedAvgScheduler.launch_task": "task_id=None",
    "alphafed.fed_avg.FedAvgScheduler.submit": "task_id=None",
    "alphafed.fed_avg.FedSGDScheduler": "max_rounds=0 merge_epochs=1 calculation_timeout=300 schedule_timeout=30 "
    "log_rounds=0 involve_aggregator=False",
    "alphafed.fed_avg.DPFedAvgScheduler": "w_cap q S z max_rounds=0 merge_epochs=1 calculation_timeout=300 "
    "schedule_timeout=30 log_rounds=0 involve_aggregator=False",
    "alphafed.fed_avg.SecureFedAvgScheduler": "t max_rounds=0 merge_epochs=1 calculation_timeout=300 "
    "schedule_timeout=30 log_rounds=0",
    "alphafed.fed_avg.fed_prox.FedProxScheduler": "max_rounds=0 merge_epochs=1 calculation_timeout=300 "
    "schedule_timeout=30 log_rounds=0 involve_aggregator=False mu=0.01",
    "alphafed.fed_avg.fed_prox.FedProxScheduler.calc_prox_loss": "fn * **",
    "alphafed.hetero_nn.HeteroNNHostScheduler": "feature_key max_rounds=0 calculation_timeout=300 schedule_timeout=30 "
    "log_rounds=0 is_feature_trainable=True",
    "alphafed.hetero_nn.HeteroNNCollaboratorScheduler": "feature_key schedule_timeout=30 is_feature_trainable=True",
    "alphafed.hetero_nn.psi.RSAPSIInitiatorScheduler": "task_id initiator_id ids collaborator_ids contractor=None",
    "alphafed.hetero_nn.psi.RSAPSICollaboratorScheduler": "task_id collaborator_id ids contractor=None",
    "alphafed.contractor.ContractEvent.contract_to_event": "contract",
    "alphafed.contractor.ContractEvent.event_to_contract": "",
    "alphafed.contractor.ContractEvent.validate": "",
    "alphafed.contractor.TaskMessageContractor": "task_id",
    "alphafed.contractor.TaskMessageContractor._new_contract": "targets event",
    "alphafed.contractor.TaskMessageContractor.contract_events": "timeout=0",
    "alphafed.contractor.TaskMessageContractor.query_nodes": "",
    "alphafed.contractor.TaskMessageContractor.upload_file": "fp persistent=False upload_name=None",
    "alphafed.contractor.TaskMessageContractor.upload_metric_report": "receivers report_file=None",
    "alphafed.contractor.TaskMessageContractor.upload_model": "receivers model_file=None",
    "alphafed.contractor.TaskMessageContractor.upload_task_achivement": "aggregator report_file=None model_file=None",
    "alphafed.contractor.TaskMessageContractor.notify_task_completion": "result",
    "alphafed.contractor.TaskMessageContractor.report_progress": "percent",
    "alphafed.data_channel.SharedFileDataChannel": "contractor",
    "alphafed.data_channel.GRPCDataChannel": "contractor",
    "alphafed.data_channel.SharedFileDataChannel.send_stream": "source target data_stream connection_timeout=30 "
    "timeout=60",
    "alphafed.data_channel.SharedFileDataChannel.batch_send_stream": "source target data_stream connection_timeout=30 "
    "timeout=60 ensure_all_succ=False",
    "alphafed.data_channel.SharedFileDataChannel.receive_stream": "receiver source complementary_handler=None "
    "timeout=0",
    "alphafed.data_channel.SharedFileDataChannel.batch_receive_stream": "receiver source_list "
    "complementary_handler=None timeout=0",
    "alphafed.dataset.mnist.FedMNIST": "root train=True transform=None target_transform=None download=False "
    "client_ids=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)",
}


def find(path: str) -> Any:
    """A name in a module, or in a class of one."""
    module, found = path.rpartition(".")[0], None
    while found is None:
        try:
            found = importlib.import_module(module)
        except ImportError:
            module = module.rpartition(".")[0]
    for name in path[len(module) + 1 :].split("."):
        found = getattr(found, name)
    return found


def arguments(function: Any) -> str:
    said = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            said.append("*" if parameter.kind is parameter.VAR_POSITIONAL else "**")
        elif name != "self":
            said.append(name if parameter.default is parameter.empty else f"{name}={parameter.default!r}")
    return " ".join(said)


def test_arguments_have_the_order_the_names_and_the_defaults_of_0_4_9(alphafed):
    wrong = {path: said for path, asked in ARGUMENTS.items() if not (said := arguments(find(path))).startswith(asked)}
    assert wrong == {}


ON_SELF = """id task_id is_initiator current_round max_rounds tb_writer contractor data_channel status push_log
    _is_reach_max_rounds _result_dir _log_dir _switch_status"""
AVERAGING = f"{ON_SELF} is_aggregator model optimizer train_loader validation_loader test_loader"
SPLIT = f"{ON_SELF} is_host feature_key feature_model id_intersection"  # train_ids, test_ids: once it runs


def test_self_has_what_users_code_looks_for(alphafed):
    """Before a run: that the names exist; `test_dialects` looks at their values."""
    from alphafed.fed_avg import DPFedAvgScheduler, FedAvgScheduler, FedSGDScheduler, SecureFedAvgScheduler
    from alphafed.fed_avg.fed_prox import FedProxScheduler
    from alphafed.hetero_nn import HeteroNNCollaboratorScheduler, HeteroNNHostScheduler

    made = [
        *((base(max_rounds=1), AVERAGING) for base in (FedAvgScheduler, FedSGDScheduler, FedProxScheduler)),
        (DPFedAvgScheduler(w_cap=1, q=1.0, S=1.0, z=1.0, max_rounds=1), AVERAGING),
        (SecureFedAvgScheduler(t=2, max_rounds=1), AVERAGING),
        (HeteroNNHostScheduler("key", max_rounds=1), f"{SPLIT} infer_model optimizer"),
        (HeteroNNCollaboratorScheduler("key"), SPLIT),
    ]
    for scheduler, names in made:
        known = {*dir(type(scheduler)), *vars(scheduler)}  # and what is built when it runs
        known.update(name for base in type(scheduler).__mro__ for name in inspect.get_annotations(base))
        assert [name for name in names.split() if name not in known] == [], type(scheduler).__name__


def test_small_things_are_what_tutorials_say(alphafed):
    from alphafed.contractor import ContractEvent, TaskMessageContractor, TaskMessageEventFactory
    from alphafed.fed_avg import FedAvgScheduler
    from alphafed.fed_avg import register_metrics as of_2022
    from alphafed.scheduler import Scheduler, TaskComplete, TaskFailed, register_metrics

    assert TaskMessageContractor.EVERYONE == ["*"]
    assert TaskMessageContractor("task")._event_factory is TaskMessageEventFactory
    assert all(issubclass(event, ContractEvent) for event in TaskMessageEventFactory._CLASS_MAP.values())
    assert all(kind == event.TYPE for kind, event in TaskMessageEventFactory._CLASS_MAP.items())
    assert issubclass(TaskFailed, Exception)
    assert issubclass(TaskComplete, Exception)
    assert issubclass(FedAvgScheduler, Scheduler)
    assert of_2022 is register_metrics
    assert FedAvgScheduler(max_rounds=1).status == "init"


def test_a_context_says_who_this_is(alphafed):
    import alphafed as package

    assert (package.is_mock_mode(), package.mock_node_id(), package.mock_nodes()) == (False, None, [])
    with package.mock_context(clean=True, id="ann", nodes=["ann", "ben"]):
        assert (package.is_mock_mode(), package.mock_node_id()) == (True, "ann")
        assert package.mock_nodes() == ["ann", "ben"]
    assert not package.is_mock_mode()
    with pytest.raises(ConfigError):
        package.mock_context(id="two words")


def test_folders_are_the_partys_own(alphafed):
    import alphafed as package
    from alphafed import fs

    with package.mock_context(id="ann", nodes=["ann", "ben"]):
        folders = {name: getattr(package, name)("task") for name in NAMES["alphafed.fs"].split()}
        assert fs.get_runtime_dir(task_id="task") == folders["get_runtime_dir"]
    assert all(map(os.path.isdir, folders.values()))
    assert folders["get_root_dir"].endswith("task/ann")
    assert len(set(folders.values())) == len(folders)


def test_events_become_json_and_come_back(alphafed):
    from alphafed.contractor import ContractEvent, TaskMessageEventFactory
    from alphafed.contractor.events import ApplyGRPCSendingDataEvent

    @dataclasses.dataclass
    class Reading(ContractEvent):
        TYPE = "reading"
        who: str
        values: list[float]
        seal: bytes = b""

    class Types(TaskMessageEventFactory):
        _CLASS_MAP = {Reading.TYPE: Reading, **TaskMessageEventFactory._CLASS_MAP}  # noqa: RUF012

    event = Reading("ann", [1.5, 2.0], b"\x00\xff")
    contract = event.event_to_contract()

    # base64 of 00 ff
    assert contract == {"type": "reading", "who": "ann", "values": [1.5, 2.0], "seal": "AP8="}
    assert Types.contract_to_event(contract) == event
    assert Reading.contract_to_event({"type": "reading", "who": "ann", "values": []}).seal == b""
    theirs = ApplyGRPCSendingDataEvent("1", "ann", "ben", b"key")
    assert Types.contract_to_event(theirs.event_to_contract()) == theirs
    with pytest.raises(PlaygroundError, match="lacks 'who'"):
        Types.contract_to_event({"type": "reading"})
    with pytest.raises(ConfigError, match="is no dataclass"):
        type("Plain", (ContractEvent,), {"TYPE": "plain"})().validate()
    with pytest.raises(ConfigError, match="has no TYPE"):
        dataclasses.make_dataclass("Nameless", ["x"], bases=(ContractEvent,))(1).validate()


def test_uploads_stay_with_the_results(alphafed, tmp_path, caplog: pytest.LogCaptureFixture):
    from alphafed import get_result_dir, get_share_dir, mock_context
    from alphafed.contractor import TaskMessageContractor

    report = tmp_path / "report.zip"
    report.write_bytes(b"report")
    contractor = TaskMessageContractor(task_id="task")
    with caplog.at_level("INFO", "playground"), mock_context(id="ann", nodes=["ann"]):
        contractor.upload_task_achivement(aggregator="*", report_file=str(report), model_file=None)
        contractor.upload_metric_report(receivers=["ben"], report_file=str(report))
        contractor.upload_model(receivers=["ben"], model_file=str(report))
        with report.open("rb") as file:
            shared = contractor.upload_file(file, upload_name="../other.zip")
        contractor.notify_task_completion(result=True)
        result = os.path.join(get_result_dir("task"), "report.zip")
        assert os.path.exists(result)
        assert shared == os.path.join(get_share_dir("task"), "other.zip")
    assert f"the report is {result}" in caplog.text
    assert "task task is complete" in caplog.text


def test_a_check_answers_with_a_reason_or_without(alphafed, caplog: pytest.LogCaptureFixture):
    from alphafed.scheduler import DataChecker

    class Checker(DataChecker):
        answer: Any = True

        def verify_data(self):
            return self.answer

    checker = Checker(task_id="task")
    assert checker.execute_verification() is True
    checker.answer = (False, "no images")
    assert checker.submit() is False
    assert "Checker failed: no images" in caplog.text


def test_a_library_hook_that_a_helper_would_hide_is_named_when_the_class_is_made(alphafed):
    from alphafed.hetero_nn import HeteroNNHostScheduler

    with pytest.raises(ConfigError, match=r"Mine\._play has the name of a part of the Playground's scheduler"):
        type("Mine", (HeteroNNHostScheduler,), {"_play": lambda self: None, "__module__": "__main__"})


def test_both_names_of_a_hook_in_one_class_mean_the_newer_one(alphafed):
    from alphafed.fed_avg import FedAvgScheduler

    class Newer(FedAvgScheduler):
        def make_model(self):
            return "older"

        def build_model(self):
            return "newer"

    class Older(FedAvgScheduler):
        def make_model(self):
            return "older"

    class Child(Older):
        def make_model(self):
            return "younger " + super().make_model()

    class Helper(Newer):
        def make_model(self):
            return "a helper that the base's build_model never calls"

    assert Newer().build_model() == "newer"
    assert Older().build_model() == "older"
    assert Child().build_model() == "younger older"
    assert Helper().build_model() == "newer"
