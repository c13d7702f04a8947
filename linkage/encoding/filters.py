"""Bloom filters of a name's bigrams: two filters are as alike as the names, without the names.

A name `ann` is padded and cut into the bigrams `_a an nn n_`. Each bigram sets k = 15 of m = 1024 bits,
whose positions come from HMAC-SHA512 under the field's key (random hashing: sixteen-bit counter words, no
double hashing, which is known to be attackable). The filter is then XOR-folded: its two halves of 512 bits
are combined by exclusive or. Similarity is Dice's coefficient, twice the common bits over the sum of both
counts.

Layout: 64 bytes, eight big-endian words of 64 bits; bit 0 is the most significant bit of the first byte.

Still leaks: the number of set bits grows with the length of the name; equal names have equal filters, hence
frequencies as tokens do; frequent bigrams can be recovered by pattern mining (Christen and others, PAKDD
2017), folding makes that harder and no more; and anything that keeps similarity can be attacked through the
graph of similarities. A filter is personal data under agreement.
"""

import hmac
from itertools import product

import numpy as np
import numpy.typing as npt

FILTER_BITS = 512
FILTER_BYTES = FILTER_BITS // 8

_UNFOLDED_BITS = 1024
_BITS_PER_BIGRAM = 15
_ALPHABET = "_abcdefghijklmnopqrstuvwxyz"  # code 0 is the padding
_LETTERS = len(_ALPHABET)
_WORDS = _UNFOLDED_BITS // 64
_NAMES_AT_ONCE = 100_000  # bounds the gathered table rows to some tens of megabytes

_CODE_OF_BYTE = np.zeros(256, np.int32)
for _code, _letter in enumerate(_ALPHABET):
    _CODE_OF_BYTE[ord(_letter)] = _code

Words = npt.NDArray[np.uint64]


def bigram_positions(bigram: str, key: bytes) -> list[int]:
    """The k bit positions, 0 to 1023, of one padded bigram; a position may come twice."""
    positions: list[int] = []
    counter = 0
    while len(positions) < _BITS_PER_BIGRAM:
        block = hmac.digest(key, f"{bigram}|{counter}".encode("ascii"), "sha512")
        positions += (int.from_bytes(block[at : at + 2], "big") % _UNFOLDED_BITS for at in range(0, 64, 2))
        counter += 1
    return positions[:_BITS_PER_BIGRAM]


def bigram_table(key: bytes) -> Words:
    """The unfolded filter of every bigram of the alphabet: 27 * 27 rows of 16 words."""
    table = np.zeros((_LETTERS * _LETTERS, _WORDS), np.uint64)
    for row, (first, second) in enumerate(product(_ALPHABET, repeat=2)):
        for position in bigram_positions(first + second, key):
            table[row, position >> 6] |= np.uint64(1) << np.uint64(63 - (position & 63))
    return table


def filters_of(names: list[str], table: Words) -> list[bytes]:
    """The folded filter, 64 bytes, of each name (non-empty, letters a to z only)."""
    filters: list[bytes] = []
    for start in range(0, len(names), _NAMES_AT_ONCE):
        unfolded = _unfolded(names[start : start + _NAMES_AT_ONCE], table)
        folded = unfolded[:, : _WORDS // 2] ^ unfolded[:, _WORDS // 2 :]
        packed = folded.astype(">u8").tobytes()
        filters += (packed[at : at + FILTER_BYTES] for at in range(0, len(packed), FILTER_BYTES))
    return filters


def _unfolded(names: list[str], table: Words) -> Words:
    """For each name, the bitwise or of its bigrams' rows of `table`.

    All names are laid end to end, padded, and every adjacent pair of letters is looked up at once; the pairs
    that would join one name's end with the next one's start are left out.
    """
    letters = np.frombuffer(("_" + "__".join(names) + "_").encode("ascii"), np.uint8)
    codes = _CODE_OF_BYTE[letters]
    lengths = np.fromiter((len(name) for name in names), np.int64, len(names))
    bigrams = codes[:-1] * _LETTERS + codes[1:]
    within_a_name = np.ones(len(bigrams), bool)
    within_a_name[np.cumsum(lengths + 2)[:-1] - 1] = False
    bigrams = bigrams[within_a_name]
    starts = np.concatenate([[0], np.cumsum(lengths + 1)[:-1]])
    unfolded = np.empty((len(names), _WORDS), np.uint64)
    for word in range(_WORDS):  # one column at a time keeps the looked-up rows in the processor's cache
        unfolded[:, word] = np.bitwise_or.reduceat(table[:, word][bigrams], starts)
    return unfolded
