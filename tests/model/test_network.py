"""Every architecture can be built, at any size, and gives one logit a cell behind a normalised input."""

from pathlib import Path

import pytest
import torch
from torch import nn

from malaria.model.network import HALF, BalanceColor, build_model, build_network, count_parameters, find_head
from malaria.model.weights import build_from_config, read_model, save_model
from malaria.params import modules_in
from tests.support.models import NO_HASHES, config, train_params

ARCHITECTURES = modules_in("architectures")


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_batch_gives_one_finite_logit_a_cell_at_any_size(arch: str) -> None:
    for size in (32, 64, 97):
        model = build_from_config(config(arch, size))
        logits = model(torch.rand(5, 3, size, size))
        assert logits.shape == (5,)
        assert logits.isfinite().all()
        assert find_head(model)[1].out_features == 1


def test_a_module_added_to_the_architectures_can_be_trained_saved_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "architectures"
    folder.mkdir()
    (folder / "linear.py").write_text(
        "from torch import nn\n\n"
        "def build(size):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3 * size**2, 1), nn.Flatten(0))\n"
    )
    monkeypatch.setattr("malaria.params.__file__", str(tmp_path / "params.py"))
    monkeypatch.setattr("malaria.architectures.__path__", [str(folder)])
    of = config(train_params(arch="linear").arch)
    model = build_from_config(of)
    save_model(tmp_path / "model.safetensors", model, of, NO_HASHES)
    batch = torch.rand(4, 3, 32, 32)
    assert torch.equal(read_model(tmp_path / "model.safetensors")[0](batch), model(batch))


def test_the_input_is_normalised() -> None:
    _, normalise, _ = build_model("simple_cnn", 32, "keep", (0.25, 0.5, 0.0), (0.5, 0.5, 1.0))
    gray = normalise(torch.full((1, 3, 2, 2), 0.75))
    assert gray[0, :, 0, 0].tolist() == [1.0, 0.5, 0.75]
    assert (config("simple_cnn").mean, config("simple_cnn").std) == HALF
    assert config("resnet18").mean == pytest.approx((0.485, 0.456, 0.406))


def test_a_balanced_cell_has_no_tint_left_but_keeps_its_contrast() -> None:
    cell = torch.zeros(1, 3, 8, 8)
    cell[..., 2:6, 2:6] = 0.4
    cell[..., 3, 3] = 0.2
    tinted = cell * torch.tensor([1.0, 0.5, 1.5]).view(1, 3, 1, 1)
    balance = BalanceColor()
    assert torch.allclose(balance(tinted), balance(cell))
    assert balance(cell)[..., 2:6, 2:6].mean() == pytest.approx(0.5)
    assert (balance(cell)[..., 3, 3] / balance(cell)[..., 2, 2]).tolist() == [pytest.approx([0.5] * 3)]
    assert (balance(cell)[..., 0, :] == 0).all()
    assert balance(torch.zeros(1, 3, 4, 4)).isfinite().all()


def test_simple_cnn_is_the_notebooks() -> None:
    network = build_network("simple_cnn", 64)
    block = [nn.Conv2d, nn.ReLU, nn.MaxPool2d]
    layers = [type(layer) for layer in network.children()]
    assert layers == [*block, *block, nn.Flatten, nn.Linear, nn.ReLU, nn.Linear, nn.Flatten]
    assert count_parameters(network) == 2_116_801


TORCHVISIONS = [pytest.param(arch, marks=pytest.mark.slow) for arch in ("resnet18", "mobilenet_v3_small")]


@pytest.mark.parametrize("arch", ["small_resnet", *TORCHVISIONS])
def test_after_a_hundred_batches_the_statistics_of_batch_norm_have_settled(arch: str) -> None:
    """What they keep is of these, and no more of their start, by which all cells would look alike."""
    network, batch = build_network(arch, 32), torch.rand(16, 3, 32, 32)
    with torch.inference_mode():
        for _ in range(100):
            trained = network(batch)
        assert network.eval()(batch).std() > 0.3 * trained.std()
