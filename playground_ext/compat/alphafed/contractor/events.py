"""The types of messages that AlphaMed's package has itself.

Data travels in streams of their own here, so nobody receives those about sending; classes that name them still work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from playground_ext.compat.alphafed.contractor.common import ContractEvent, ContractEventFactory

__all__ = [
    "AcceptGRPCSendingDataEvent",
    "AcceptSendingDataEvent",
    "AcceptSharedFileSendingDataEvent",
    "ApplyGRPCSendingDataEvent",
    "ApplySendingDataEvent",
    "ApplySharedFileSendingDataEvent",
    "DenySendingDataEvent",
    "NoticeTaskCompletionEvent",
    "TaskMessageEventFactory",
    "UploadTaskAchievementEvent",
]


@dataclass
class ApplySendingDataEvent(ContractEvent):
    """Somebody wants to send data."""

    session_id: str
    source: str
    target: str | list[str]


@dataclass
class ApplyGRPCSendingDataEvent(ApplySendingDataEvent):
    """… by gRPC."""

    TYPE = "apply_grpc_sending_data"

    public_key: bytes


@dataclass
class ApplySharedFileSendingDataEvent(ApplySendingDataEvent):
    """… by a shared file."""

    TYPE = "apply_sf_sending_data"

    file_url: str


@dataclass
class DenySendingDataEvent(ContractEvent):
    """Somebody does not want the data."""

    TYPE = "deny_sending_data"

    session_id: str
    rejecter: str
    cause: str | None = None


@dataclass
class AcceptSendingDataEvent(ContractEvent):
    """Somebody takes the data."""

    session_id: str


@dataclass
class AcceptGRPCSendingDataEvent(AcceptSendingDataEvent):
    """… by gRPC."""

    TYPE = "accept_grpc_sending_data"

    public_key: bytes
    port: bytes


@dataclass
class AcceptSharedFileSendingDataEvent(AcceptSendingDataEvent):
    """… by a shared file."""

    TYPE = "accept_sf_sending_data"

    receiver: str


@dataclass
class UploadTaskAchievementEvent(ContractEvent):
    """Where a report or a model is."""

    TYPE = "task_file_upload"
    FILE_TYPE_REPORT: ClassVar[str] = "report"
    FILE_TYPE_MODEL: ClassVar[str] = "model"

    file_type: str
    file_url: str


@dataclass
class NoticeTaskCompletionEvent(ContractEvent):
    """How the task ended."""

    TYPE = "notice_task_completion"

    result: bool


class TaskMessageEventFactory(ContractEventFactory):
    """The types above. `_CLASS_MAP = {…, **TaskMessageEventFactory._CLASS_MAP}` adds those of an algorithm."""

    _CLASS_MAP: ClassVar[Mapping[str, type[ContractEvent]]] = {
        event.TYPE: event
        for event in (
            ApplyGRPCSendingDataEvent,
            ApplySharedFileSendingDataEvent,
            DenySendingDataEvent,
            AcceptGRPCSendingDataEvent,
            AcceptSharedFileSendingDataEvent,
            UploadTaskAchievementEvent,
            NoticeTaskCompletionEvent,
        )
    }
