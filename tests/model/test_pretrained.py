"""A network begins with weights for ImageNet, from torchvision or from a file, or says why it cannot."""

import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torchvision.models import get_model
from torchvision.models._api import WeightsEnum

from malaria.core.errors import UserError
from malaria.model.dataset import Cells
from malaria.model.network import ARCHITECTURES, Weights, build_from_config, find_head
from malaria.model.trainer import freeze_body, train_epochs
from malaria.model.weights import load_pretrained
from malaria.params import Train, load_params
from tests.support.scratch import ROOT

IMAGENET = [name for name, architecture in ARCHITECTURES.items() if architecture.imagenet]


def made(arch: str, seed: int = 3) -> Weights:
    """Weights as torchvision's are: of the network with its 1000 classes."""
    torch.manual_seed(seed)
    weights: Weights = get_model(arch).state_dict()
    return weights


def params(**changes: Any) -> Train:
    """Those of the repository with some changed."""
    return Train(**(load_params(ROOT / "params.yaml").train.model_dump() | changes))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("arch", IMAGENET)
def test_weights_of_a_file_are_those_of_the_network_but_for_its_head(arch: str, suffix: str, tmp_path: Path) -> None:
    weights, path = made(arch), tmp_path / f"weights{suffix}"
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    network, _ = build_from_config(arch, 64, load_pretrained(arch, str(path))).children()
    head, _ = find_head(network)
    state = network.state_dict()
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[name], weights[name]) for name in state if not name.startswith(head))
    assert state[f"{head}.weight"].shape[0] == 1


def test_without_a_file_they_come_through_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = made("resnet18")
    asked = []

    def give(self: WeightsEnum, **options: Any) -> Weights:
        asked.append((self.name, options["check_hash"]))
        return weights

    monkeypatch.setattr(WeightsEnum, "get_state_dict", give)
    assert load_pretrained("resnet18", None) is weights
    assert asked == [("IMAGENET1K_V1", True)]


def test_without_a_network_and_without_a_file_it_is_said_what_to_fetch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(UserError, match=r"(?s)resnet18 cannot be downloaded .*Fetch https://\S+\.pth .*train.weights"):
        load_pretrained("resnet18", None)


def refuse(*_: Any, **__: Any) -> None:
    raise URLError("no network")


def test_a_file_that_is_missing_broken_or_of_another_network_is_refused(tmp_path: Path) -> None:
    broken, other = tmp_path / "broken.pth", tmp_path / "other.pth"
    broken.write_bytes(b"rubbish")
    torch.save(made("mobilenet_v3_small"), other)
    for path, words in (
        (tmp_path / "none.pth", "no such file"),
        (broken, "no file of weights"),
        (other, "does not fit resnet18"),
    ):
        with pytest.raises(UserError, match=f"train.weights: {re.escape(str(path))}.*{words}"):
            load_pretrained("resnet18", str(path))


def test_our_own_networks_have_none() -> None:
    with pytest.raises(UserError, match="no weights for small_resnet; there are for resnet18"):
        load_pretrained("small_resnet", None)


@pytest.mark.parametrize("changes", [{"weights": "a.pth"}, {"freeze": 1}, {"pretrained": True, "freeze": 24}])
def test_params_that_contradict_each_other_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="freeze"):
        params(**changes)


def test_a_frozen_epoch_trains_the_last_layer_alone() -> None:
    torch.manual_seed(0)
    network = build_from_config("mobilenet_v3_small", 32, made("mobilenet_v3_small"))
    pixels = torch.randint(0, 256, (24, 32, 32, 3), dtype=torch.uint8)
    rows = {"train": torch.arange(16), "val": torch.arange(16, 24)}
    cells = Cells(pixels, (torch.arange(24) % 2).float(), rows)
    before = {name: weights.clone() for name, weights in network.named_parameters()}
    settings = params(arch="mobilenet_v3_small", pretrained=True, freeze=1, epochs=2, batch_size=8, augment="none")
    epochs = train_epochs(network, cells, settings, "fp32")
    next(epochs)
    head = "0." + find_head(build_from_config("mobilenet_v3_small", 32)[0])[0]  # type: ignore[index]
    changed = {name for name, weights in network.named_parameters() if not torch.equal(weights, before[name])}
    assert changed == {f"{head}.weight", f"{head}.bias"}
    freeze_body(network, frozen=False)
    assert all(weights.requires_grad for weights in network.parameters())
