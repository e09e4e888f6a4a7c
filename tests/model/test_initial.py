"""A training starts from the weights that params name, whole or but for the head, or says what does not fit."""

import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import get_model
from torchvision.models._api import WeightsEnum

from malaria.core.errors import UserError
from malaria.model.initial import build_initial, hash_initial
from malaria.model.network import Weights, find_head
from malaria.model.weights import build_from_config, make_config, read_model
from malaria.params import NOTHING
from tests.support.models import make_model, same_weights, train_params
from tests.support.param_fields import preprocess_params


def start(size: int = 32, **changes: Any) -> nn.Module:
    """The model that a training with these params starts from."""
    params = train_params(**changes)
    return build_initial(make_config(params, preprocess_params(size), "fp32"), params)


def refuse(size: int = 32, **changes: Any) -> str:
    with pytest.raises(UserError) as refused:
        start(size, **changes)
    return str(refused.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of 32 px with random weights."""
    return make_model(tmp_path / "their model")


def test_a_training_may_start_from_the_whole_of_a_model_by_its_folder_or_file(folder: Path) -> None:
    model, _ = read_model(folder / "model.safetensors")
    for init in (folder, folder / "model.safetensors"):
        assert same_weights(start(init=str(init)), model)
    assert not same_weights(start(), model)


def test_a_training_that_starts_from_nothing_is_that_of_its_seed() -> None:
    torch.manual_seed(5)
    fresh = start(init=NOTHING)
    torch.manual_seed(5)
    assert same_weights(fresh, build_from_config(make_config(train_params(), preprocess_params(), "fp32")))


@pytest.mark.parametrize(
    ("param", "has", "changes"),
    [
        ("train.arch", "small_resnet", {"arch": "simple_cnn"}),
        ("preprocess.size", "32", {"size": 48}),
        ("train.color", "balance", {"color": "keep"}),
    ],
)
def test_a_model_of_another_arch_size_or_color_is_refused_by_the_param(
    param: str, has: str, changes: dict[str, Any], folder: Path
) -> None:
    message = refuse(init=str(folder), **changes)
    assert message.startswith(f"train.init: {folder}")
    assert f"{param}={has}" in message
    assert str(next(iter(changes.values()))) in message


def test_a_model_that_is_missing_or_damaged_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for init in (tmp_path / "empty", tmp_path / "none/model.safetensors"):
        assert str(init) in refuse(init=str(init))
        with pytest.raises(UserError, match=rf"train\.init: {re.escape(str(init))}"):
            hash_initial(str(init))
    weights = folder / "model.safetensors"
    data, tensors = weights.read_bytes(), load_file(weights)
    weights.write_bytes(data[:-1000])
    assert str(weights) in refuse(init=str(folder))
    save_file(tensors, weights)  # without a config
    assert str(weights) in refuse(init=str(folder))


def test_the_hash_is_that_of_the_model_and_of_nothing_else(folder: Path, tmp_path: Path) -> None:
    weights = folder / "model.safetensors"
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert hash_initial(str(folder)) == hash_initial(str(weights)) == sha256
    assert hash_initial(str(tmp_path / "weights.pth")) is None  # of torchvision's: DVC has the hash of the file
    assert hash_initial(NOTHING) is None


def torchvisions(arch: str) -> Weights:
    """Weights as torchvision's are: of the network with its 1000 classes."""
    torch.manual_seed(3)
    weights: Weights = get_model(arch).state_dict()
    return weights


def differing(model: nn.Module, weights: Weights) -> set[str]:
    """What of a network does not have these weights."""
    network, _ = list(model.children())[2].children()
    state = network.state_dict()
    assert state.keys() == weights.keys()
    head, last = find_head(network)
    assert last.out_features == 1
    names = {name for name in state if not torch.equal(state[name], weights[name])}
    return {"head" if name.startswith(head) else name for name in names}


@pytest.mark.parametrize(
    ("arch", "name"),
    [("resnet18", "a.pth"), ("efficientnet_b0", "a.safetensors"), ("mobilenet_v3_small", "a.safetensors")],
)
def test_weights_of_torchvision_become_those_of_the_network_but_for_its_head(
    arch: str, name: str, tmp_path: Path
) -> None:
    weights, path = torchvisions(arch), tmp_path / name
    save_file(weights, path) if path.suffix == ".safetensors" else torch.save(weights, path)
    assert differing(start(arch=arch, init=str(path)), weights) == {"head"}


def test_a_file_that_is_missing_damaged_or_of_another_network_is_refused_by_name(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("damaged.pth", "damaged.safetensors", "other.pth", "tensor.pth", "none.pth")]
    for path in paths[:2]:
        path.write_bytes(b"rubbish")
    torch.save(torchvisions("mobilenet_v3_small"), paths[2])
    torch.save(torch.zeros(3), paths[3])
    for path in paths:
        assert f"train.init: {path}" in refuse(arch="resnet18", init=str(path))


def test_weights_of_imagenet_come_through_torchvision_which_checks_them(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, asked = torchvisions("resnet18"), []

    def give(self: WeightsEnum, **options: Any) -> Weights:
        asked.append((self.name, options["check_hash"]))
        return weights

    monkeypatch.setattr(WeightsEnum, "get_state_dict", give)
    assert differing(start(arch="resnet18", weights="imagenet"), weights) == {"head"}
    start(arch="resnet18")
    assert asked == [("IMAGENET1K_V1", True)]


def test_without_a_network_the_message_names_the_address_and_the_params(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", fail)
    monkeypatch.setattr("torch.hub.urlopen", fail)
    message = refuse(arch="resnet18", weights="imagenet")
    assert re.search(r"https://\S+\.pth", message)
    assert all(words in message for words in ("resnet18", "train.weights", "train.init"))


def test_an_architecture_without_pretrained_weights_is_refused_and_those_with_are_named(tmp_path: Path) -> None:
    torch.save(torchvisions("resnet18"), tmp_path / "a.pth")
    for changes in ({"weights": "imagenet"}, {"init": str(tmp_path / "a.pth")}):
        message = refuse(arch="small_resnet", **changes)
        assert re.search(r"train\..*small_resnet.*efficientnet_b0, mobilenet_v3_small, resnet", message)
