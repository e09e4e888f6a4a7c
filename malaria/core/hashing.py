"""Hashes of arrays, to tell whether two are the same."""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


def hash_array(array: npt.NDArray[Any]) -> int:
    """64 bits of an array's bytes, by BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(array.tobytes(), digest_size=8).digest())
