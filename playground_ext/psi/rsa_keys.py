"""The RSA key of one attempt of blind-signature intersection, and the private operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import gmpy2  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from gmpy2 import mpz

from playground_ext.errors import ConfigError, MalformedPayload, ProtocolError
from playground_ext.psi import openssl
from playground_ext.psi.blocks import Buffer
from playground_ext.psi.modular import invert_all, pack, random_numbers, unpack

__all__ = ["EXPONENT", "MAX_BITS", "MIN_BITS", "PublicKey", "SigningKey"]

EXPONENT = 65537
MIN_BITS = 2048
MAX_BITS = 8192


@dataclass(frozen=True)
class PublicKey:
    """The collaborator's public key for one attempt, at least `MIN_BITS` long, with public exponent `EXPONENT`.

    Raises:
        ProtocolError: a modulus of unsupported length, or an even one.
    """

    modulus: int = field(repr=False)

    def __post_init__(self) -> None:
        bits = self.modulus.bit_length()
        if self.modulus <= 0 or not MIN_BITS <= bits <= MAX_BITS or bits % 8:
            raise ProtocolError(
                f"an RSA modulus has {bits} bits; whole bytes, {MIN_BITS} to {MAX_BITS} bits, are allowed"
            )
        if self.modulus % 2 == 0:
            raise ProtocolError("the RSA modulus is even")

    @property
    def width(self) -> int:
        """Bytes of a number modulo n."""
        return self.modulus.bit_length() // 8

    def to_bytes(self) -> bytes:
        """The modulus, big-endian."""
        return self.modulus.to_bytes(self.width, "big")

    @classmethod
    def from_bytes(cls, message: Buffer) -> PublicKey:
        """Read `to_bytes` of the other party.

        Raises:
            MalformedPayload: longer than any allowed key, or padded.
            ProtocolError: a key that is not allowed.
        """
        if not MIN_BITS // 8 <= memoryview(message).nbytes <= MAX_BITS // 8:
            raise MalformedPayload(f"an RSA key of {memoryview(message).nbytes:,} bytes came")
        key = cls(int.from_bytes(message, "big"))
        if key.width != memoryview(message).nbytes:
            raise MalformedPayload("the RSA key is padded")
        return key


class SigningKey:
    """The collaborator's private key for one attempt. It cannot be printed or copied to another process."""

    __slots__ = ("_der", "_numbers", "public")

    def __init__(self, key: RSAPrivateKey) -> None:
        numbers = key.private_numbers()
        self.public = PublicKey(numbers.public_numbers.n)
        if numbers.public_numbers.e != EXPONENT:
            raise ConfigError(f"the public exponent of a signing key must be {EXPONENT}")
        self._numbers = tuple(map(mpz, (numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)))
        self._der = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())

    @classmethod
    def generate(cls, bits: int = MIN_BITS) -> SigningKey:
        """A fresh key, drawn by OpenSSL's generator, which the operating system's seeds.

        Raises:
            ConfigError: fewer than `MIN_BITS`, more than `MAX_BITS`, or not a multiple of 256.
        """
        if not MIN_BITS <= bits <= MAX_BITS or bits % 256:
            raise ConfigError(
                f"{bits}-bit RSA keys are not offered", next_step=f"choose {MIN_BITS} (the default), 3072 or 4096"
            )
        return cls(generate_private_key(EXPONENT, bits))

    def __repr__(self) -> str:
        return f"SigningKey({self.public.modulus.bit_length()} bits, …)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key does not leave the process that drew it")

    def sign(self, numbers: Sequence[mpz]) -> list[mpz]:
        """m^d mod n for each number below n."""
        library = openssl.load()
        if library is None:
            return self._sign_with_gmp(numbers)
        width = self.public.width
        items = [pack(number, width) for number in numbers]
        return list(map(unpack, openssl.private_operation(library, self._der, items, width)))

    def _sign_with_gmp(self, numbers: Sequence[mpz]) -> list[mpz]:
        """By the Chinese remainder theorem; blinded, because GMP's time depends on its input (Kocher, 1996)."""
        n = mpz(self.public.modulus)
        p, q, d_p, d_q, q_inverse = self._numbers
        masks = random_numbers(len(numbers), n)
        blinded = [m * mask % n for m, mask in zip(numbers, gmpy2.powmod_base_list(masks, EXPONENT, n), strict=True)]
        modulo_p = gmpy2.powmod_base_list([m % p for m in blinded], d_p, p)
        modulo_q = gmpy2.powmod_base_list([m % q for m in blinded], d_q, q)
        signed = [b + ((a - b) * q_inverse % p) * q for a, b in zip(modulo_p, modulo_q, strict=True)]
        if gmpy2.powmod_base_list(signed, EXPONENT, n) != blinded:  # one wrong half gives n away (Boneh et al., 1997)
            raise ArithmeticError("a signature came out wrong; is this machine's memory sound?")
        return [s * inverse % n for s, inverse in zip(signed, invert_all(masks, n), strict=True)]
