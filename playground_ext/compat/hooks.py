"""What a user's class defines, as hooks of the native schedulers: renamed, and called as AlphaMed calls them."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from playground_ext.compat.local_data import subset_in_use
from playground_ext.errors import ConfigError, PlaygroundError

__all__ = ["OF_2022", "TaskComplete", "TaskFailed", "check_private_names", "rename", "wrap"]

# The guide of October 2022 says what package 0.4.9 says otherwise.
OF_2022 = {
    "make_model": "build_model",
    "make_optimizer": "build_optimizer",
    "make_train_dataloader": "build_train_dataloader",
    "make_validation_dataloader": "build_validation_dataloader",
    "make_test_dataloader": "build_test_dataloader",
    "make_feature_model": "build_feature_model",
    "make_feature_optimizer": "build_feature_optimizer",
    "make_infer_model": "build_infer_model",
    "make_infer_optimizer": "build_infer_optimizer",
    "train": "train_an_epoch",
    "test": "run_test",
}
_ALLOWED = {"_run"}  # private names that users override on purpose
_BY_KEYWORD = ("batched_feature_projections", "batched_labels")
_SHAPES = re.compile(r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)")

Hook = Callable[..., Any]


class TaskFailed(PlaygroundError):
    """A user's class says that the task has failed."""


class TaskComplete(Exception):
    """A user's class says that the task is complete; raised by the initiator's `run_test` or `is_task_finished`."""


def rename(cls: type, dialect: type, names: Mapping[str, str] = OF_2022) -> None:
    """Give hooks of the older generation their newer names; where a class defines both, the newer one counts.

    `dialect`: the base whose subclasses have been through this already.
    """
    for old, new in names.items():
        defined, newer = _owner(cls, old), _owner(cls, new)
        if defined is None or newer is None or newer is defined or not _is_new(defined, cls, dialect):
            continue
        renamed = old in vars(newer) and inspect.unwrap(vars(newer)[new]) is inspect.unwrap(vars(newer)[old])
        if _is_ours(newer) or renamed:  # else a base of the user's has the newer one
            setattr(cls, new, vars(defined)[old])


def check_private_names(cls: type) -> None:
    """
    Raises:
        ConfigError: a helper of the user's has the name of one of ours, which would be replaced by it.
    """
    for name in vars(cls):
        if name.startswith("_") and not name.startswith("__") and name not in _ALLOWED:
            owner = _owner(cls.__mro__[1:], name)
            hidden = None if owner is None or not _is_ours(owner) else vars(owner)[name]
            if callable(hidden) or isinstance(hidden, property):
                raise ConfigError(
                    f"{cls.__name__}.{name} has the name of a part of the Playground's scheduler",
                    next_step=f"give {name} another name",
                )


def wrap(cls: type, dialect: type) -> None:
    """Have the hooks that a class defines called, and their answers read, as AlphaMed does it."""
    for name, wrapper in _WRAPPERS.items():
        owner = _owner(cls, name)
        if owner is not None and _is_new(owner, cls, dialect) and inspect.isfunction(hook := vars(owner)[name]):
            setattr(cls, name, wrapper(hook))


def _is_new(owner: type, cls: type, dialect: type) -> bool:
    """The class itself, or a base of the user's that is no scheduler."""
    return owner is cls or not (_is_ours(owner) or issubclass(owner, dialect))


def _owner(cls: type | Sequence[type], name: str) -> type | None:
    """The class that a name comes from."""
    bases = cls.__mro__ if isinstance(cls, type) else cls
    return next((base for base in bases if name in vars(base)), None)


def _is_ours(cls: type) -> bool:
    return cls.__module__.startswith("playground_ext.")


def _numbers(values: Any) -> Mapping[str, float] | None:
    """What AlphaMed ignores is ignored: anything but numbers by name."""
    return values if isinstance(values, Mapping) else None


def _training(hook: Hook) -> Hook:
    @functools.wraps(hook)
    def train(self: Any, *arguments: Any, **options: Any) -> Any:
        with _in_words(hook.__name__):
            return _numbers(hook(self, *arguments, **options))

    return train


def _testing(hook: Hook) -> Hook:
    """`run_test` gets its arguments, where it has any, by keyword."""
    parameters = inspect.signature(hook).parameters.values()
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    by_keyword = takes_all or set(_BY_KEYWORD) <= {parameter.name for parameter in parameters}

    @functools.wraps(hook)
    def test(self: Any, *arguments: Any, **options: Any) -> Any:
        if by_keyword and len(arguments) == len(_BY_KEYWORD):
            arguments, options = (), dict(zip(_BY_KEYWORD, arguments, strict=True))
        try:
            with _in_words(hook.__name__):
                return _numbers(hook(self, *arguments, **options))
        except TaskComplete:
            self._complete = True
            return None

    return test


def _asking(hook: Hook) -> Hook:
    @functools.wraps(hook)
    def is_task_finished(self: Any) -> bool:
        try:
            return self._complete or bool(hook(self))
        except TaskComplete:
            return True

    return is_task_finished


def _splitting(hook: Hook) -> Hook:
    @functools.wraps(hook)
    def split_dataset(self: Any, id_intersection: Any) -> Any:
        self.id_intersection = set(id_intersection)
        return hook(self, id_intersection)

    return split_dataset


def _iterating(hook: Hook) -> Hook:
    """`iterate_…_feature`, whose assertions about numbers of samples are answered in words."""

    @functools.wraps(hook)
    def iterate(self: Any, feature_model: Any, ids: Any) -> Iterator[Any]:
        try:
            with _in_words(hook.__name__):
                yield from hook(self, feature_model, ids)
        except AssertionError as error:
            subset = ""
            if subset_in_use():
                subset = "; MNIST is the bundled subset of 6,000 training and 1,000 test images here"
            raise ConfigError(
                f"{hook.__name__} asserts: {error or 'something that is not so'}. The parties have {len(ids):,} "
                f"of these samples in common{subset}",
                next_step="use the full set (`playground data mnist`, or PLAYGROUND_DATA), or change the assertion",
            ) from error

    return iterate


@contextmanager
def _in_words(hook: str) -> Iterator[None]:
    """A layer that does not fit what it is given, said in words."""
    try:
        yield
    except RuntimeError as error:
        if not (found := _SHAPES.search(str(error))):
            raise
        samples, given, wanted, _ = found.groups()
        raise ConfigError(
            f"in {hook}, a layer that takes {wanted} numbers a sample is given {given} (of {samples} samples)",
            next_step=f"in_features={given} would fit the data: add up the widths of all features that are joined",
            details=str(error),
        ) from error


_WRAPPERS: dict[str, Callable[[Hook], Hook]] = {
    "train_an_epoch": _training,
    "train_a_batch": _training,
    "run_test": _testing,
    "is_task_finished": _asking,
    "split_dataset": _splitting,
    "iterate_train_feature": _iterating,
    "iterate_test_feature": _iterating,
}
