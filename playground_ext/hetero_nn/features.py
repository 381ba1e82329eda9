"""One party's features of one batch: a tensor, or several in a dict, tuple or list, with the batch first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

from playground_ext.errors import ConfigError, MalformedPayload

__all__ = ["Batch", "Features", "Structured", "read_batch"]

Features = torch.Tensor | dict[str, torch.Tensor] | tuple[torch.Tensor, ...] | list[torch.Tensor]
_FORMS = ("tensor", "dict", "tuple", "list")


@dataclass(frozen=True)
class Structured:
    """Features by name, and the form in which the user gave or gets them."""

    form: str
    tensors: dict[str, torch.Tensor]

    @classmethod
    def of(cls, features: object) -> Structured:
        """Raises ConfigError: not tensors."""
        form, tensors = "tensor", {}
        if isinstance(features, torch.Tensor):
            tensors = {"0": features}
        elif isinstance(features, Mapping):
            form, tensors = "dict", dict(features)
        elif isinstance(features, tuple | list):
            form = "tuple" if isinstance(features, tuple) else "list"
            tensors = {str(index): tensor for index, tensor in enumerate(features)}
        if not tensors or not all(isinstance(t, torch.Tensor) and isinstance(n, str) for n, t in tensors.items()):
            raise ConfigError(
                f"features are {_describe(features)}",
                next_step="yield a tensor, or a dict, tuple or list of tensors, each with the batch as first dimension",
            )
        return cls(form, tensors)

    @classmethod
    def received(cls, form: object, tensors: dict[str, torch.Tensor], sender: str) -> Structured:
        """Raises MalformedPayload: a form that does not exist, or that does not fit the names."""
        numbered = [str(index) for index in range(len(tensors))]
        if form not in _FORMS or not tensors or (form != "dict" and list(tensors) != numbered):
            raise MalformedPayload(f"{sender} sent features in no known form", party=sender)
        return cls(str(form), tensors)

    @property
    def value(self) -> Features:
        """As the user sees them."""
        values = tuple(self.tensors.values())
        if self.form == "tensor":
            return values[0]
        if self.form == "dict":
            return self.tensors
        return values if self.form == "tuple" else list(values)

    def size(self) -> int:
        """Samples in the batch.

        Raises:
            ConfigError: tensors that have none, or not all the same number.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        sizes = {shape[0] if shape else None for shape in shapes.values()}
        if len(sizes) != 1 or None in sizes:
            raise ConfigError(
                f"the features of a batch have the shapes {', '.join(map(str, shapes.values()))}",
                next_step="let the first dimension of each be the batch, with equal size",
            )
        return cast(int, sizes.pop())

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Structured:
        return Structured(self.form, {name: change(tensor) for name, tensor in self.tensors.items()})


@dataclass(frozen=True)
class Batch:
    """What an iterator of a user yields."""

    features: Structured
    labels: Any  # the host's; None elsewhere
    ids: Sequence[str | int] | None  # of its samples, where the party gives them
    size: int


def read_batch(item: object, *, with_labels: bool, hook: str) -> Batch:
    """Take apart what `hook` yielded: `features[, ids]`, at the host `features, labels[, ids]`.

    Raises:
        ConfigError: it is something else, or its parts have different lengths.
    """
    labels: Any = None
    ids: object = None
    features = item
    if with_labels:
        if not isinstance(item, tuple) or len(item) not in (2, 3):
            raise ConfigError(
                f"{hook} yielded {_describe(item)}", next_step="at the host, yield (features, labels) for each batch"
            )
        features, labels, ids = item if len(item) == 3 else (*item, None)
    elif isinstance(item, tuple) and len(item) == 2 and _is_ids(item[1]):
        features, ids = item
    if ids is not None and not _is_ids(ids):
        raise ConfigError(f"{hook} yielded {_describe(ids)} as ids", next_step="give ids as a list of str or int")
    structured = Structured.of(features)
    size = structured.size()
    for what, part in (("labels", labels), ("ids", ids)):
        if part is not None and _length(part) != size:
            raise ConfigError(
                f"{hook} yielded features of {size:,} samples with {_length(part):,} {what}",
                next_step="give every sample of a batch its own",
            )
    return Batch(structured, labels, cast("Sequence[str | int] | None", ids), size)


def _is_ids(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(entry, str | int) for entry in value)


def _length(part: Any) -> int:
    try:
        return len(part)
    except TypeError as error:
        raise ConfigError(f"labels are {_describe(part)}", next_step="give one label for each sample") from error


def _describe(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {', '.join(type(entry).__name__ for entry in value) or 'nothing'}"
    return f"a {type(value).__name__}"
