"""Weights come back as they were saved, with the config that fits them, and pretrained ones are checked."""

import hashlib
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
from malaria.model.network import Weights, find_head
from malaria.model.weights import build_from_config, load_pretrained, read_model, save_model
from malaria.params import Train, modules_in
from tests.support.models import config, same_weights, train_params


@pytest.mark.parametrize("arch", modules_in("architectures"))
def test_a_saved_model_is_read_back_the_same_and_is_the_same_bytes_again(arch: str, tmp_path: Path) -> None:
    path, of = tmp_path / "model.safetensors", config(arch)
    model = build_from_config(of)
    save_model(path, model, of)
    loaded, read = read_model(path)
    assert read == of
    assert same_weights(loaded, model)
    save_model(tmp_path / "again", loaded, read)
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def torchvisions(arch: str) -> Weights:
    """Weights as torchvision's are: of the network with its 1000 classes."""
    torch.manual_seed(3)
    weights: Weights = get_model(arch).state_dict()
    return weights


def from_file(arch: str, path: Path, **changes: Any) -> Train:
    """The params of a training that starts from that file, and its sha256."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return train_params(**{"arch": arch, "weights": str(path), "weights_sha256": sha256} | changes)


@pytest.mark.parametrize(
    ("arch", "name"),
    [("resnet18", "a.pth"), ("efficientnet_b0", "a.safetensors"), ("mobilenet_v3_small", "a.safetensors")],
)
def test_weights_of_a_file_become_those_of_the_network_but_for_its_head(arch: str, name: str, tmp_path: Path) -> None:
    weights, path = torchvisions(arch), tmp_path / name
    save_file(weights, path) if path.suffix == ".safetensors" else torch.save(weights, path)
    network, _ = build_from_config(config(arch), load_pretrained(from_file(arch, path)))[2].children()
    head, _ = find_head(network)
    state = network.state_dict()
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[name], weights[name]) for name in state if not name.startswith(head))
    assert state[f"{head}.weight"].shape[0] == 1


def test_a_file_must_have_the_hash_in_params(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(torchvisions("mobilenet_v3_small"), path)
    params = from_file("mobilenet_v3_small", path)
    assert load_pretrained(params) is not None
    with pytest.raises(UserError) as told:
        load_pretrained(params.model_copy(update={"weights_sha256": "0" * 64}))
    assert all(words in str(told.value) for words in (str(path), str(params.weights_sha256), "0" * 64))
    for sha256, weights in ((None, str(path)), ("0" * 64, None), ("0" * 64, "imagenet")):
        with pytest.raises(ValidationError, match=r"train\.weights_sha256"):
            train_params(arch="resnet18", weights=weights, weights_sha256=sha256)


def test_a_file_that_is_missing_damaged_or_of_another_network_is_refused(tmp_path: Path) -> None:
    damaged, other, missing = (tmp_path / f"{name}.pth" for name in ("damaged", "other", "missing"))
    damaged.write_bytes(b"rubbish")
    torch.save(torchvisions("mobilenet_v3_small"), other)
    refused = from_file("resnet18", damaged), from_file("resnet18", other)
    for params in (*refused, train_params(arch="resnet18", weights=str(missing), weights_sha256="0" * 64)):
        with pytest.raises(UserError, match=rf"train\.weights: {re.escape(str(params.weights))}"):
            load_pretrained(params)


def test_weights_of_imagenet_come_through_torchvision_which_checks_them(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, asked = torchvisions("resnet18"), []

    def give(self: WeightsEnum, **options: Any) -> Weights:
        asked.append((self.name, options["check_hash"]))
        return weights

    monkeypatch.setattr(WeightsEnum, "get_state_dict", give)
    assert load_pretrained(train_params(arch="resnet18", weights="imagenet")) is weights
    assert asked == [("IMAGENET1K_V1", True)]
    assert load_pretrained(train_params(arch="resnet18")) is None


def test_without_a_network_the_message_names_the_address_and_the_param(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(UserError, match=r"(?s)resnet18 .*https://\S+\.pth.*train\.weights"):
        load_pretrained(train_params(arch="resnet18", weights="imagenet"))


def test_an_architecture_without_pretrained_weights_is_refused_and_those_with_are_named() -> None:
    with pytest.raises(UserError, match=r"train\.weights: .*small_resnet.*efficientnet_b0, mobilenet_v3_small, resnet"):
        load_pretrained(train_params(arch="small_resnet", weights="imagenet"))
