"""Noise in filters: each bit of a filter is flipped with a probability of 13 in 256 (5.08 %).

This is BLIP, randomised response on a Bloom filter (Alaggan, Gambs and Kermarrec, SSS 2012), with one
difference: the noise is persistent. It is computed from the key and from whom the row is about, so that the
same person's name gets the same noise in every month and at every agency, and cannot be averaged away over
many deliveries, while two people of one name get different noise, and their filters are not equal.

Noise of a filter: HMAC-SHA256 of the identity under the field's noise key, stretched with SHAKE-256 (FIPS 202) to
512 bytes; bit n is flipped where byte n is below 13.

Still leaks: the filters of one name lie nearer to each other than to those of other names. In the simulated
county a threshold sorts pairs by name with a precision of .98 and a recall of .98 (`benchmarks.leaks`), and
filters sorted by name can be counted like tokens. So the noise takes away equality and the reading of single
bits with certainty, and no more.
"""

import hmac
from hashlib import shake_256

import numpy as np
import numpy.typing as npt

from linkage.encoding.filters import FILTER_BITS, FILTER_BYTES

FLIPPED_OF_256 = 13
"""Of 256 bits, so many are flipped on average."""

_FILTERS_AT_ONCE = 20_000  # bounds the random bytes to ten megabytes


def with_noise(filters: list[bytes | None], identities: list[str], key: bytes) -> list[bytes | None]:
    """Each filter with the noise of its identity under `key`; None for None."""
    noisy: list[bytes | None] = [None] * len(filters)
    present = [number for number, each in enumerate(filters) if each is not None]
    for start in range(0, len(present), _FILTERS_AT_ONCE):
        chosen = present[start : start + _FILTERS_AT_ONCE]
        plain = np.frombuffer(b"".join(filters[number] or b"" for number in chosen), np.uint8)
        packed = (plain ^ _noise([identities[number] for number in chosen], key)).tobytes()
        for place, number in enumerate(chosen):
            noisy[number] = packed[place * FILTER_BYTES : (place + 1) * FILTER_BYTES]
    return noisy


def _noise(identities: list[str], key: bytes) -> npt.NDArray[np.uint8]:
    """The bytes of all identities' noise, end to end."""
    drawn = b"".join(
        shake_256(hmac.digest(key, identity.encode(), "sha256")).digest(FILTER_BITS)
        for identity in identities
    )
    return np.packbits(np.frombuffer(drawn, np.uint8) < FLIPPED_OF_256)
