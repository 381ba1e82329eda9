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


def parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_arguments_have_the_order_and_the_defaults_of_0_4_9(alphafed):
    from alphafed import mock_context
    from alphafed.contractor import TaskMessageContractor
    from alphafed.data_channel import SharedFileDataChannel
    from alphafed.fed_avg import DPFedAvgScheduler, SecureFedAvgScheduler
    from alphafed.fed_avg.fed_prox import FedProxScheduler
    from alphafed.scheduler import Scheduler

    assert parameters(mock_context)[:3] == ["clean", "id", "nodes"]
    assert parameters(Scheduler._run) == ["id", "task_id", "is_initiator", "recover"]
    assert parameters(DPFedAvgScheduler.__init__)[:4] == ["w_cap", "q", "S", "z"]
    assert parameters(SecureFedAvgScheduler.__init__)[0] == "t"
    assert inspect.signature(FedProxScheduler.__init__).parameters["mu"].default == 0.01
    sending = inspect.signature(SharedFileDataChannel.send_stream).parameters
    assert list(sending)[1:6] == ["source", "target", "data_stream", "connection_timeout", "timeout"]
    assert (sending["connection_timeout"].default, sending["timeout"].default) == (30, 60)
    assert parameters(SharedFileDataChannel.receive_stream)[:4] == [
        "receiver",
        "source",
        "complementary_handler",
        "timeout",
    ]
    assert inspect.signature(TaskMessageContractor.contract_events).parameters["timeout"].default == 0
    for name in ["upload_file", "upload_metric_report", "upload_model", "upload_task_achivement", "report_progress"]:
        assert callable(getattr(TaskMessageContractor, name))


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
