"""The header of a tensor frame: which tensors follow, checked before anybody believes or allocates anything.

A frame is `<header length: 8 bytes, little endian><JSON header><tensor bytes, one after the other>`, as safetensors
defines it. Two additions live in its `__metadata__`, where other readers ignore them:

- `playground.tied`: names that share another name's memory (tied weights), so that their bytes travel once;
- `playground.dtypes`: dtypes that safetensors cannot name, stored as an equally wide dtype that it can (complex128 as
  pairs of F64).
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, NoReturn

import torch

from playground_ext.errors import ConfigError, MalformedPayload

__all__ = ["Entry", "Header", "dtype_name", "is_known", "is_unicode", "read_header", "write_header"]

MAX_HEADER = 16 << 20  # bytes of JSON
MAX_TENSORS = 100_000  # names in a frame, tied ones included
MAX_DIMENSIONS = 64  # torch's operators handle no more
LARGEST = 2**63 - 1  # bytes a shape may describe before torch's own arithmetic overflows
SAME_VERSION = "check that all parties run the same version of playground-ext"
TIED = "playground.tied"
DTYPES = "playground.dtypes"


_SHORT = reprlib.Repr()
_SHORT.maxstring = 80


@dataclass(frozen=True)
class _Format:
    """How a torch dtype is written: safetensors' name, and how many stored numbers make one element."""

    stored: str
    parts: int = 1  # complex128 is 2 F64: one more dimension


# what safetensors can name
_NATIVE = {
    "bool": _Format("BOOL"),
    "uint8": _Format("U8"),
    "int8": _Format("I8"),
    "uint16": _Format("U16"),
    "int16": _Format("I16"),
    "uint32": _Format("U32"),
    "int32": _Format("I32"),
    "uint64": _Format("U64"),
    "int64": _Format("I64"),
    "float16": _Format("F16"),
    "bfloat16": _Format("BF16"),
    "float32": _Format("F32"),
    "float64": _Format("F64"),
    "complex64": _Format("C64"),
    "float8_e4m3fn": _Format("F8_E4M3"),
    "float8_e4m3fnuz": _Format("F8_E4M3FNUZ"),
    "float8_e5m2": _Format("F8_E5M2"),
    "float8_e5m2fnuz": _Format("F8_E5M2FNUZ"),
    "float8_e8m0fnu": _Format("F8_E8M0"),
}
# what it cannot: stored as something equally wide, with the true dtype noted under DTYPES
_FOREIGN = {
    "complex128": _Format("F64", parts=2),
    "complex32": _Format("F16", parts=2),
    "bcomplex32": _Format("BF16", parts=2),
    **{f"int{bits}": _Format("I8") for bits in range(1, 8)},
    **{f"uint{bits}": _Format("U8") for bits in range(1, 8)},
    **{name: _Format("U8") for name in ("bits8", "bits1x8", "bits2x4", "bits4x2")},
    "bits16": _Format("U16"),
    "float4_e2m1fn_x2": _Format("U8"),  # F4 cannot say whether one packed pair is 0- or 1-dimensional
}
# dtypes that the installed torch does not have yet are unknown to it in both directions
_FORMATS = {name: format for name, format in {**_NATIVE, **_FOREIGN}.items() if hasattr(torch, name)}
_NATIVE_NAMES = {format.stored: name for name, format in _NATIVE.items() if name in _FORMATS}
_DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in _FORMATS}


class Entry(NamedTuple):
    """One stored tensor; `begin` and `end` are bytes after the header."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a frame holds, in the order of the bytes."""

    entries: list[Entry]
    tied: list[tuple[str, str, int]]  # name, the name that holds its bytes, its place among all names

    @property
    def payload(self) -> int:
        """Bytes that follow the header."""
        return self.entries[-1].end if self.entries else 0


@cache
def dtype_name(dtype: object) -> str:
    """torch.float32 -> "float32"."""
    return str(dtype).removeprefix("torch.")


def is_known(dtype: torch.dtype) -> bool:
    """Whether tensors of this dtype can be written."""
    return dtype_name(dtype) in _FORMATS


def is_unicode(name: str) -> bool:
    """Whether a name has no halves of characters (lone surrogates), which can be neither printed nor sent on."""
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def write_header(header: Header, metadata: Mapping[str, str] | None = None) -> bytes:
    """Length and JSON, padded so that the first tensor is aligned to 8 bytes.

    Raises:
        ConfigError: more tensors, dimensions or header bytes than a reader accepts.
    """
    notes = dict(metadata or {})
    foreign = {entry.name: name for entry in header.entries if (name := dtype_name(entry.dtype)) in _FOREIGN}
    if header.tied:
        notes[TIED] = json.dumps(header.tied)
    if foreign:
        notes[DTYPES] = json.dumps(foreign)
    fields: dict[str, object] = {"__metadata__": notes} if notes else {}
    for entry in header.entries:
        format = _FORMATS[dtype_name(entry.dtype)]
        shape = [*entry.shape, format.parts] if format.parts > 1 else list(entry.shape)
        if len(shape) > MAX_DIMENSIONS:
            raise ConfigError(f"{entry.name} has {len(entry.shape)} dimensions; at most {MAX_DIMENSIONS} are possible")
        fields[entry.name] = {"dtype": format.stored, "shape": shape, "data_offsets": (entry.begin, entry.end)}
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    count = len(header.entries) + len(header.tied)
    if len(text) > MAX_HEADER or count > MAX_TENSORS:
        raise ConfigError(
            f"{count} tensors with a header of {len(text)} bytes are too many for one message",
            next_step=f"send at most {MAX_TENSORS} tensors and {MAX_HEADER} bytes of names and shapes",
        )
    return len(text).to_bytes(8, "little") + text


def read_header(view: memoryview) -> tuple[Header, int]:
    """The checked header of a frame (a flat view of bytes), and where its tensors begin.

    Raises:
        MalformedPayload: anything that `write_header` would not have written for exactly these bytes.
    """
    fields, start = _fields(view)
    metadata = fields.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        _refuse("its __metadata__ is not a map of strings")
    foreign = _json(metadata.get(DTYPES, "{}"), DTYPES)
    if not isinstance(foreign, dict) or not all(isinstance(dtype, str) for dtype in foreign.values()):
        _refuse(f"its {DTYPES} is not a map of names")
    for name in foreign:
        if name not in fields:
            _refuse(f"its {DTYPES} names {_short(name)}, which it does not hold")
    if len(fields) > MAX_TENSORS:
        _refuse(f"it names {len(fields)} tensors; at most {MAX_TENSORS} are allowed")
    entries: list[Entry] = []
    end = 0
    for name, field in fields.items():
        entries.append(_entry(name, field, foreign.get(name), end))
        end = entries[-1].end
    if end != len(view) - start:
        _refuse(f"its tensors take {end} bytes and {len(view) - start} are there")
    tied = _tied(_json(metadata.get(TIED, "[]"), TIED), fields)
    if len(fields) + len(tied) > MAX_TENSORS:
        _refuse(f"it names {len(fields) + len(tied)} tensors; at most {MAX_TENSORS} are allowed")
    return Header(entries, tied), start


def _fields(view: memoryview) -> tuple[dict[str, object], int]:
    if len(view) < 8:
        _refuse(f"{len(view)} bytes are too short for a header")
    length = int.from_bytes(view[:8], "little")
    if length > MAX_HEADER:
        _refuse(f"its header claims {length} bytes; at most {MAX_HEADER} are allowed")
    if length > len(view) - 8:
        _refuse(f"its header claims {length} bytes and {len(view) - 8} are there")
    try:
        text = str(view[8 : 8 + length], "utf-8")
    except UnicodeDecodeError:
        _refuse("its header is not UTF-8")
    fields = _json(text, "header")
    if not isinstance(fields, dict):
        _refuse("its header is not a JSON object")
    return fields, 8 + length


def _json(text: str, what: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except RecursionError:
        _refuse(f"its {what} is nested too deeply")
    except ValueError as error:
        what = f"not a tensor frame: its {what} is not JSON ({error})"
        raise MalformedPayload(what, next_step=SAME_VERSION) from error


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        _refuse("its header names something twice")
    return fields


def _entry(name: str, field: object, foreign: str | None, begin: int) -> Entry:
    """One entry, which has to start where the last one ended."""
    if not isinstance(field, dict) or field.keys() != {"dtype", "shape", "data_offsets"}:
        _refuse(f"{_short(name)} needs exactly dtype, shape and data_offsets")
    if not is_unicode(name):
        _refuse(f"the name {_short(name)} is not Unicode")
    stored, shape, offsets = field["dtype"], field["shape"], field["data_offsets"]
    true_name = _true_dtype(stored, foreign)
    if true_name is None:
        _refuse(f"{_short(name)} has the unknown dtype {_short(foreign or stored)}")
    if not _are_sizes(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1]:
        _refuse(f"{_short(name)} has the offsets {_short(offsets)}")
    if offsets[0] != begin:
        _refuse(f"{_short(name)} begins at byte {_short(offsets[0])}, not at {begin} where the last tensor ends")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        _refuse(f"{_short(name)} has the shape {_short(shape)}")
    if (parts := _FORMATS[true_name].parts) > 1 and (not shape or shape.pop() != parts):
        _refuse(f"{_short(name)} is {true_name} and its last dimension is not {parts}")
    dtype = _DTYPES[true_name]
    extent = dtype.itemsize
    for size in shape:
        extent *= max(size, 1)  # an empty tensor's strides must not overflow either
        if extent > LARGEST:
            _refuse(f"{_short(name)} has the impossible shape {_short(shape)}")
    needed = math.prod(shape) * dtype.itemsize
    if needed != offsets[1] - begin:
        _refuse(f"{_short(name)} {_short(shape)} takes {needed} bytes and has {_short(offsets[1] - begin)}")
    return Entry(name, dtype, tuple(shape), begin, offsets[1])


def _are_sizes(value: object) -> bool:
    """A list of whole numbers from 0; JSON's true, 1.0 and "1" are none."""
    if not isinstance(value, list):
        return False
    for size in value:  # noqa: SIM110  # all() with a generator takes twice as long
        if type(size) is not int or not 0 <= size <= LARGEST:
            return False
    return True


def _true_dtype(stored: object, foreign: str | None) -> str | None:
    """torch's name for what is stored, None if the two do not fit."""
    if not isinstance(stored, str):
        return None
    if foreign is None:
        return _NATIVE_NAMES.get(stored)
    return foreign if foreign in _FOREIGN and foreign in _FORMATS and _FORMATS[foreign].stored == stored else None


def _tied(value: object, fields: Mapping[str, object]) -> list[tuple[str, str, int]]:
    if not isinstance(value, list):
        _refuse(f"its {TIED} is not a list")
    tied: dict[str, tuple[str, str, int]] = {}
    previous = 0
    for item in value:
        match item:
            case [str(name), str(holder), int(place)] if (
                type(place) is int
                and is_unicode(name)
                and previous < place <= len(fields) + len(tied)
                and holder in fields
                and name not in fields
                and name not in tied
            ):
                tied[name] = (name, holder, place)
                previous = place
            case _:
                _refuse(f"its {TIED} has the entry {_short(item)}")
    return list(tied.values())


def _short(value: object) -> str:
    """What another party wrote, for an error message: quoted, never deep, never more than a line."""
    return _SHORT.repr(value)


def _refuse(what: str) -> NoReturn:
    raise MalformedPayload(f"not a tensor frame: {what}", next_step=SAME_VERSION)
