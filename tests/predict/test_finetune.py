"""Fine-tuning of the last layers, on features of the others."""

import numpy as np
import pytest
import torch

from malaria.model.weights import build_from_config
from malaria.predict.finetune import fine_tune, make_features, split_layers
from tests.support.models import config, same_weights

CELLS = np.random.default_rng(0).integers(1, 256, (6, 32, 32, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1, 0, 1])


@pytest.mark.parametrize("arch", ["small_resnet", "simple_cnn", "mobilenet_v3_small"])
def test_the_two_parts_are_the_model(arch: str) -> None:
    model = build_from_config(config(arch)).eval()
    frozen, trained = split_layers(model)
    batch = torch.rand(2, 3, 32, 32)
    assert torch.equal(trained(frozen(batch)), model(batch))
    assert sum(p.numel() for p in trained.parameters()) >= 0.7 * sum(p.numel() for p in model.parameters())


def test_the_first_layers_and_the_model_that_was_given_stay_as_they_are() -> None:
    model = build_from_config(config("small_resnet"))
    before = build_from_config(config("small_resnet"))
    before.load_state_dict(model.state_dict())
    frozen, _ = split_layers(model)
    tuned = fine_tune(model, make_features(frozen, CELLS, LABELS, 12, 0), None, 0)
    assert same_weights(model, before)
    assert same_weights(split_layers(tuned)[0], frozen)
    assert not same_weights(tuned, model)


def test_features_are_of_each_cell_as_often_and_can_be_chosen_by_cell() -> None:
    frozen, _ = split_layers(build_from_config(config("small_resnet")))
    features = make_features(frozen, CELLS, LABELS, 12, 0)
    assert sorted(features.rows.tolist()) == sorted(2 * list(range(6)))
    assert features.labels.tolist() == [LABELS[row] for row in features.rows]
    some = features.of_cells(np.array([1, 4]))
    assert set(some.rows.tolist()) == {1, 4}
    assert len(some.values) == len(some.labels) == 4
