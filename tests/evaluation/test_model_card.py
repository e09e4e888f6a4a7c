"""models/model.json: read back as it was written, refused by name where it is not one."""

import json

import pytest
from torch import nn

from malaria.evaluation.model_card import count_macs, read_card
from tests.support.models import config, make_card


def test_a_card_is_read_back_the_same_and_wrong_or_missing_entries_are_named() -> None:
    card = make_card(of := config("simple_cnn"))
    assert of.model_dump().items() <= card.model_dump().items()
    assert card.classes == ("Uninfected", "Parasitized")
    assert read_card(card.model_dump_json()) == card
    entries = card.model_dump() | {"threshold": "high"}
    del entries["macs"]
    with pytest.raises(ValueError, match=r"macs.*threshold"):
        read_card(json.dumps(entries))
    with pytest.raises(ValueError, match="card"):
        read_card(b"junk")


def test_macs_are_those_of_convolutions_and_linear_layers() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16 * 16, 5))
    assert count_macs(layers, 16) == 16 * 16 * 8 * 3 * 9 + 8 * 16 * 16 * 5
