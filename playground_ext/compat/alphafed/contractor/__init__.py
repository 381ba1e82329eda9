"""`alphafed.contractor`: messages between the parties, as the users' own algorithms send them."""

from playground_ext.compat.alphafed.contractor.common import (
    ContractEvent,
    ContractEventFactory,
    ContractException,
    Contractor,
)
from playground_ext.compat.alphafed.contractor.events import (
    AcceptGRPCSendingDataEvent,
    AcceptSendingDataEvent,
    AcceptSharedFileSendingDataEvent,
    ApplyGRPCSendingDataEvent,
    ApplySendingDataEvent,
    ApplySharedFileSendingDataEvent,
    DenySendingDataEvent,
    NoticeTaskCompletionEvent,
    TaskMessageEventFactory,
    UploadTaskAchievementEvent,
)
from playground_ext.compat.alphafed.contractor.task_message import (
    AutoTaskMessageContractor,
    TaskContractor,
    TaskMessageContractor,
)

__all__ = [
    "AcceptGRPCSendingDataEvent",
    "AcceptSendingDataEvent",
    "AcceptSharedFileSendingDataEvent",
    "ApplyGRPCSendingDataEvent",
    "ApplySendingDataEvent",
    "ApplySharedFileSendingDataEvent",
    "AutoTaskMessageContractor",
    "ContractEvent",
    "ContractEventFactory",
    "ContractException",
    "Contractor",
    "DenySendingDataEvent",
    "NoticeTaskCompletionEvent",
    "TaskContractor",
    "TaskMessageContractor",
    "TaskMessageEventFactory",
    "UploadTaskAchievementEvent",
]
