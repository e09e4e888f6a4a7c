"""Torch made deterministic, as the stages do, for the tests of this folder."""

from collections.abc import Iterator

import pytest
import torch

from malaria.model.hardware import prepare


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    prepare(0)
    torch.set_num_threads(1)  # two that spin beside another test's get nowhere
    yield
    torch.set_deterministic_debug_mode("default")
