"""Maps of evidence whose right answer is known, and cells to show."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from tables import predictions, random_predictions
from torch import Tensor, nn

from malaria.explain import (
    RIGHT,
    WRONG,
    check_sanity,
    choose_examples,
    explain_cells,
    grad_cam,
    pick_sanity_cells,
    show_augmentation,
)
from malaria.model_files import build_network, make_recipe
from malaria.models import ARCHITECTURES
from malaria.params import load_params


class Redness(nn.Module):
    """Its logit is the mean of red minus blue: the evidence at a pixel is that difference there."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 4, 1, bias=False)
        self.maps.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0]])[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x).mean((2, 3)) @ torch.tensor([1.0, -1.0, 0.5, -0.5])


def test_the_evidence_is_where_the_network_has_it_from() -> None:
    cell = torch.zeros(2, 3, 16, 16)
    cell[0, 0, 3:6, 10:12] = 0.8  # red: evidence
    cell[0, 2, 8:12, 0:4] = 0.9  # blue: against it
    cell[1, 1] = 1.0  # green: neither
    evidence = grad_cam(Redness(), cell)
    assert evidence.shape == (2, 16, 16)
    assert torch.allclose(evidence[0] * 16 * 16, cell[0, 0])
    assert evidence[1].sum() == 0


def test_each_cell_is_explained_as_if_alone() -> None:
    torch.manual_seed(0)
    model = build_network(recipe("small_resnet"))
    cells = torch.rand(3, 3, 32, 32)
    assert torch.allclose(grad_cam(model, cells)[1], grad_cam(model, cells[1:2])[0], atol=1e-6)


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_can_be_explained_and_stays_as_it_was(arch: str, size: int) -> None:
    torch.manual_seed(0)
    model = build_network(recipe(arch, size)).eval()
    cells = torch.rand(2, 3, size, size)
    before = model(cells)
    evidence = grad_cam(model, cells)
    assert evidence.shape == (2, size, size)
    assert (evidence >= 0).all()
    assert evidence.sum() > 0
    assert torch.equal(model(cells), before)
    assert not any(module._forward_hooks for module in model.modules())


def recipe(arch: str, size: int = 32):  # type: ignore[no-untyped-def]
    params = load_params(ROOT / "params.yaml")
    train, preprocess = params.train.model_copy(update={"arch": arch}), params.preprocess
    return make_recipe(train, preprocess.model_copy(update={"size": size}), "fp32")


def test_examples_are_of_all_four_kinds_and_most_confident_where_wrong() -> None:
    table = random_predictions()
    examples = choose_examples(table, 0.5)
    counts = examples.kind.value_counts()
    assert counts["False negatives"] <= WRONG
    assert counts["True positives"] == counts["True negatives"] == RIGHT
    misses = examples[examples.kind == "False negatives"]
    assert misses.probability.iloc[0] == table[(table.split == "test") & (table.label == 1)].probability.min()
    assert set(examples.name) <= set(table[table.split == "test"].name)
    pd.testing.assert_frame_equal(examples, choose_examples(table, 0.5))


def test_without_mistakes_only_what_is_right_is_shown() -> None:
    table = predictions([0, 1], [0, 1, 0, 1], [-1, 1, -2, 2, -2, 2])
    assert set(choose_examples(table, 0.5).kind) == {"True positives", "True negatives"}


def test_all_cells_are_shown_on_the_scale_of_a_typical_parasite() -> None:
    cells = torch.zeros(3, 16, 16, 3, dtype=torch.uint8)
    for cell, red in enumerate((100, 50, 0)):
        cells[cell, 4, 4, 0] = red
    cams = explain_cells(Redness(), cells, pd.DataFrame({"kind": ["False positives", "True positives", "other"]}))
    assert cams.amax((1, 2)).tolist() == [255, 255, 0]
    cams = explain_cells(Redness(), cells, pd.DataFrame({"kind": ["True positives", "other", "other"]}))
    assert cams[1].max() == 127
    assert cams.dtype == torch.uint8


def test_the_sanity_check_tells_a_network_that_looks_at_the_cell_from_one_that_does_not() -> None:
    cells = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    cells[:, 8:24, 8:24] = torch.tensor([200, 100, 100], dtype=torch.uint8)
    table = check_sanity(Redness(), recipe("small_resnet"), cells)
    assert table.columns.tolist() == ["trained", "randomised", "area"]
    assert table.trained.tolist() == pytest.approx([1.0] * 4)
    assert table.area.tolist() == pytest.approx([0.25] * 4)
    assert (table.randomised < 0.9).all()
    no_evidence = check_sanity(Redness(), recipe("small_resnet"), torch.full_like(cells, 9))
    assert no_evidence.trained.isna().all()


def test_augmentation_is_shown_beside_the_cells_as_they_are() -> None:
    cells = torch.randint(0, 256, (8, 16, 16, 3), dtype=torch.uint8)
    shown = show_augmentation(cells, "flips")
    assert shown.shape == (8, 4, 16, 16, 3)
    assert torch.equal(shown[:, 0], cells)
    assert not torch.equal(shown[:, 1], cells)
    assert torch.equal(shown.sum((2, 3, 4)), shown[:, :1].sum((2, 3, 4)).expand(8, 4))  # a flip moves pixels only
    assert torch.equal(show_augmentation(cells, "none")[:, 3], cells)


def test_maps_are_checked_on_parasitized_cells_of_test_or_on_any() -> None:
    table = random_predictions()
    chosen = pick_sanity_cells(table)
    assert (chosen.label == 1).all()
    assert (chosen.split == "test").all()
    assert len(chosen) == min(200, ((table.split == "test") & (table.label == 1)).sum())
    assert len(pick_sanity_cells(predictions([0, 1], [0, 0], np.zeros(4)))) == 2
