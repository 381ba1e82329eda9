"""Lists of numbers modulo n: random ones, inverses, and their fixed-width big-endian form."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import gmpy2  # type: ignore[import-untyped]
from gmpy2 import mpz

from playground_ext.psi.blocks import Buffer

__all__ = ["MARGIN_BYTES", "invert_all", "pack", "pack_all", "random_numbers", "unpack", "unpack_all"]

MARGIN_BYTES = 16  # that many random bytes beyond n, reduced modulo n, are uniform up to 2**-128


def random_numbers(count: int, n: mpz) -> list[mpz]:
    """Uniform modulo n, from the operating system's generator."""
    size = (n.bit_length() + 7) // 8 + MARGIN_BYTES
    return [unpack(os.urandom(size)) % n for _ in range(count)]


def invert_all(numbers: Sequence[mpz], n: mpz) -> list[mpz]:
    """1/x modulo n for each, at the price of one inversion (Montgomery, 1987).

    Raises:
        ZeroDivisionError: one of them has no inverse.
    """
    products = [mpz(1)]  # products[i] = Π_{j<i} x_j
    for number in numbers:
        products.append(products[-1] * number % n)
    inverse = gmpy2.invert(products.pop(), n)
    inverses = []
    for number, product in zip(reversed(numbers), reversed(products), strict=True):
        inverses.append(inverse * product % n)
        inverse = inverse * number % n
    inverses.reverse()
    return inverses


def pack(number: mpz, width: int) -> bytes:
    """Big-endian, `width` bytes."""
    return int(number).to_bytes(width, "big")


def unpack(item: Buffer) -> mpz:
    """The inverse of `pack`, for any width."""
    return mpz(int.from_bytes(item, "big"))


def pack_all(numbers: Iterable[mpz], width: int) -> bytes:
    """One after the other."""
    return b"".join([pack(number, width) for number in numbers])


def unpack_all(view: memoryview, width: int) -> list[mpz]:
    """The inverse of `pack_all`; the view holds whole items."""
    return [unpack(view[start : start + width]) for start in range(0, len(view), width)]
