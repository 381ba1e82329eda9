"""Tensors and state dicts to and from bytes: the safetensors layout, zero copy, no pickle."""

from __future__ import annotations

import ctypes
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from playground_ext.bus.tensor_header import Entry, Header, dtype_name, is_known, is_unicode, read_header, write_header
from playground_ext.errors import ConfigError, MalformedPayload, StorageError

__all__ = [
    "TensorSpec",
    "decode",
    "describe_difference",
    "encode",
    "frame_bytes",
    "load_file",
    "save_file",
    "signature",
]

Buffer = bytes | bytearray | memoryview
MAX_SHOWN = 12  # differences listed before "and N more"
# integers as wide (bytes) as the values: torch copies those of every dtype, even of those that it can only hold
_CARRIERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype ("float32") and shape of one tensor: what parties compare before they train."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def encode(tensors: Mapping[str, torch.Tensor]) -> list[memoryview | bytes]:
    """Return the frame as pieces to send one after the other; the bytes of tensors are not copied.

    Gradients stay behind. CUDA tensors are copied to the CPU and non-contiguous ones made contiguous; all others are
    *views*, so send before the weights change. Names with the same memory, dtype, shape and strides are stored once.

    Raises:
        ConfigError: something that is no plain tensor (sparse, quantized, meta, nested, a non-tensor `_extra_state`).
    """
    return _pieces(tensors, tie=True)


def decode(frame: Buffer) -> dict[str, torch.Tensor]:
    """Return the tensors as views into `frame`, in the order of the state dict that was encoded.

    The header is checked whole before anything is allocated. Only tensors at addresses that their dtype cannot use are
    copied. The views keep the frame alive. torch knows no read-only tensors: do not change them in place when the
    frame is read-only (bytes).

    Raises:
        MalformedPayload: the frame is not what `encode` writes.
    """
    try:
        view = memoryview(frame).cast("B")
    except TypeError as error:
        raise MalformedPayload(f"not a tensor frame: {error}") from error
    header, start = read_header(view)
    source = _writable(view)
    tensors = {entry.name: _tensor(entry, source, start) for entry in header.entries}
    if not header.tied:
        return tensors
    tied = {place: (name, tensors[holder]) for name, holder, place in header.tied}
    stored = iter(tensors.items())
    return dict(tied[place] if place in tied else next(stored) for place in range(len(tensors) + len(tied)))


def frame_bytes(pieces: Iterable[Buffer]) -> int:
    """Length of a frame in bytes."""
    return sum(memoryview(piece).nbytes for piece in pieces)


def signature(state: Mapping[str, torch.Tensor]) -> tuple[TensorSpec, ...]:
    """Names, dtypes and shapes in the order of the state dict; no values."""
    return tuple(
        TensorSpec(name, dtype_name(_plain(name, tensor).dtype), tuple(tensor.shape)) for name, tensor in state.items()
    )


def describe_difference(
    ours: Sequence[TensorSpec], theirs: Sequence[TensorSpec], *, our_name: str, their_name: str
) -> list[str]:
    """One line per tensor that differs; [] when both hold the same tensors, in whichever order.

    `our_name` may be "here". Long lists end in "and N more".
    """
    here, there = (name if name == "here" else f"at {name}" for name in (our_name, their_name))
    mine, other = ({spec.name: spec for spec in specs} for specs in (ours, theirs))
    lines = []
    for name, spec in mine.items():
        match = other.get(name)
        if match is None:
            lines.append(f"{name} is {_text(spec)} {here}, missing {there}")
        elif (match.dtype, match.shape) != (spec.dtype, spec.shape):
            lines.append(f"{name} is {_text(spec)} {here}, {_text(match)} {there}")
    lines += [f"{name} is missing {here}, {_text(spec)} {there}" for name, spec in other.items() if name not in mine]
    if len(lines) > MAX_SHOWN:
        lines[MAX_SHOWN:] = [f"and {len(lines) - MAX_SHOWN} more"]
    return lines


def save_file(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write a file that the safetensors library reads; it appears complete under `path` or not at all.

    Tied weights are written under each of their names, because other readers expect that.

    Raises:
        StorageError: the disk is full or the folder is not writable; `path` is as it was before.
        ConfigError: as for `encode`.
    """
    pieces = _pieces(state, tie=False, metadata={"format": "pt"})
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        step = "check the free space and who may write there"
        raise StorageError(f"{path} could not be written: {error}", next_step=step) from error
    finally:
        temporary.unlink(missing_ok=True)


def load_file(path: Path) -> dict[str, torch.Tensor]:
    """Read a file of `save_file`, or one that the safetensors library wrote.

    Raises:
        StorageError: the file is missing, unreadable or damaged.
    """
    try:
        frame = np.fromfile(path, dtype=np.uint8)  # writable memory, unlike Path.read_bytes
    except OSError as error:
        raise StorageError(f"{path} could not be read: {error}") from error
    try:
        return decode(frame.data)
    except MalformedPayload as error:
        step = "run the task again, or take an older copy"
        raise StorageError(f"{path} is damaged: {error.what}", next_step=step) from error


def _pieces(
    tensors: Mapping[str, torch.Tensor], *, tie: bool, metadata: Mapping[str, str] | None = None
) -> list[memoryview | bytes]:
    entries: list[Entry] = []
    tied: list[tuple[str, str, int]] = []
    holders: dict[tuple[object, ...], str] = {}  # memory -> the name that its bytes are stored under
    payload: list[memoryview | bytes] = []
    end = 0
    for place, (name, value) in enumerate(tensors.items()):
        tensor = _plain(name, value)
        data, memory = _bytes(name, tensor)
        if tie and data.nbytes:
            holder = holders.setdefault(memory, name)
            if holder != name:
                tied.append((name, holder, place))
                continue
        entries.append(Entry(name, tensor.dtype, tuple(tensor.shape), end, end + data.nbytes))
        end += data.nbytes
        if data.nbytes:
            payload.append(data)
    return [write_header(Header(entries, tied), metadata), *payload]


def _plain(name: object, value: object) -> torch.Tensor:
    """`value`, if it is a tensor whose bytes say everything about it."""
    if not isinstance(name, str) or name == "__metadata__" or not is_unicode(name):
        raise ConfigError(f"{name!r} cannot name a tensor", next_step="use another string")
    if not isinstance(value, torch.Tensor):
        step = "leave it out, or put its numbers into a tensor"
        raise ConfigError(f"{name} is a {type(value).__name__}, not a tensor", next_step=step)
    if value.is_nested:
        raise ConfigError(f"{name} is a nested tensor", next_step="call .to_padded_tensor(0.0) first")
    if value.layout is not torch.strided:
        raise ConfigError(f"{name} is sparse ({dtype_name(value.layout)})", next_step="call .to_dense() first")
    if value.is_quantized:
        raise ConfigError(f"{name} is quantized ({dtype_name(value.dtype)})", next_step="call .dequantize() first")
    if value.is_meta:
        raise ConfigError(f"{name} is on the meta device and has no values", next_step="build the model on the CPU")
    if not is_known(value.dtype):
        raise ConfigError(f"{name} is {dtype_name(value.dtype)}, which cannot be sent", next_step="convert it first")
    return value


def _bytes(name: str, tensor: torch.Tensor) -> tuple[memoryview, tuple[object, ...]]:
    """The tensor's bytes, and what tells its memory apart from that of other tensors."""
    try:
        tensor = tensor.detach()
        flags = (tensor.is_conj(), tensor.is_neg())
        memory = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), flags)
        if any(flags):
            tensor = tensor.resolve_conj().resolve_neg()
        if not tensor.is_contiguous():
            tensor = tensor.view(_CARRIERS.get(tensor.dtype.itemsize, tensor.dtype)).contiguous()
        flat = tensor.cpu().as_strided((tensor.numel(),), (1,))  # view(-1) keeps odd strides of 0 or 1 elements
        return flat.view(torch.uint8).numpy().data, memory
    except (RuntimeError, TypeError) as error:  # fake tensors and other subclasses that hold no bytes
        raise ConfigError(f"the values of {name} ({type(tensor).__name__}) cannot be read: {error}") from error


def _tensor(entry: Entry, source: Any, start: int) -> torch.Tensor:
    size, dtype = entry.end - entry.begin, entry.dtype
    if size == 0:
        return torch.empty((*entry.shape, dtype.itemsize), dtype=torch.uint8).view(dtype).view(entry.shape)
    tensor = torch.frombuffer(source, dtype=dtype, count=size // dtype.itemsize, offset=start + entry.begin)
    if tensor.data_ptr() % (dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize):
        tensor = torch.frombuffer(source, dtype=torch.uint8, count=size, offset=start + entry.begin).clone().view(dtype)
    if dtype == torch.bool and bool((tensor.view(torch.uint8) > 1).any()):
        raise MalformedPayload(f"not a tensor frame: {entry.name!r} is bool and holds bytes other than 0 and 1")
    return tensor.view(entry.shape)


def _writable(view: memoryview) -> Any:
    """The same memory as a buffer that torch takes without its warning about read-only ones."""
    if not view.readonly:
        return view
    address = np.frombuffer(view, dtype=np.uint8).__array_interface__["data"][0]
    buffer = (ctypes.c_uint8 * len(view)).from_address(address)
    buffer.owner = view  # type: ignore[attr-defined]  # keeps the memory alive as long as a tensor keeps `buffer`
    return buffer


def _text(spec: TensorSpec) -> str:
    return f"{tuple(spec.shape)} {spec.dtype}"


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, where folders can be synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
