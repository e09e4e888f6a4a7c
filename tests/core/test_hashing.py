"""A hash of an array follows from its values in their order, wherever and however they lie in memory."""

import numpy as np

from malaria.core.hashing import hash_array


def test_arrays_of_other_values_have_other_hashes() -> None:
    arrays = np.random.default_rng(0).integers(0, 3, (500, 4, 4, 3), dtype=np.uint8)
    hashes = {hash_array(array) for array in arrays}
    assert len(hashes) == 500
    assert all(0 <= value < 2**64 for value in hashes)


def test_the_layout_in_memory_does_not_matter() -> None:
    array = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert hash_array(array) == hash_array(np.asfortranarray(array)) == hash_array(array[::-1][::-1])
    assert hash_array(array) == 7874263519472653393  # as kept in models
