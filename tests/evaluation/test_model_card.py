"""models/model.json: read back as it was written, refused by name where it is not one."""

import json

import pytest
from torch import nn

from malaria.evaluation.calibration import sigmoid
from malaria.evaluation.model_card import count_macs, read_card
from tests.support.models import ERROR_RATES, config, make_card


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


def test_a_card_without_error_rates_is_read_and_one_with_wrong_ones_is_not() -> None:
    entries = make_card(config("simple_cnn")).model_dump()
    without = {name: value for name, value in entries.items() if name != "error_rates"}
    assert read_card(json.dumps(without)).error_rates is None
    with pytest.raises(ValueError, match="error_rates"):
        read_card(json.dumps(entries | {"error_rates": {"logits": [0.0], "sensitivity": None}}))


def test_error_rates_are_interpolated_between_thresholds_and_constant_beyond() -> None:
    assert ERROR_RATES.at(0.5) == ((90, 10), (98, 2))
    assert ERROR_RATES.at(float(sigmoid(2.0)))[0] == pytest.approx((47.5, 7.5))
    assert ERROR_RATES.at(0) == ((49, 1), (8, 2))
    assert ERROR_RATES.at(1) == ((5, 5), (999, 1))
    assert ERROR_RATES.model_copy(update={"sensitivity": None}).at(0.5) == (None, (98, 2))


def test_macs_are_those_of_convolutions_and_linear_layers() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16 * 16, 5))
    assert count_macs(layers, 16) == 16 * 16 * 8 * 3 * 9 + 8 * 16 * 16 * 5
