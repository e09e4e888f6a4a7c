"""Weights come back as they were saved, with the config that fits them and the hashes of what trained them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from malaria.model.weights import build_from_config, make_config, read_model, read_training_hashes, save_model
from malaria.params import modules_in
from tests.support.models import NO_HASHES, PARAMS, config, same_weights
from tests.support.param_fields import preprocess_params


@pytest.mark.parametrize("arch", modules_in("architectures"))
def test_a_saved_model_is_read_back_the_same_and_is_the_same_bytes_again(arch: str, tmp_path: Path) -> None:
    path, of = tmp_path / "model.safetensors", config(arch)
    model = build_from_config(of)
    save_model(path, model, of, NO_HASHES)
    loaded, read = read_model(path)
    assert read == of
    assert same_weights(loaded, model)
    save_model(tmp_path / "again", loaded, read, NO_HASHES)
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_the_hashes_come_back_and_their_order_changes_no_byte(tmp_path: Path) -> None:
    hashes, of = np.array([2**64 - 1, 7, 2**63, 0], np.uint64), config("small_resnet")
    model = build_from_config(of)
    for path, given in ((tmp_path / "a", hashes), (tmp_path / "b", hashes[::-1])):
        save_model(path, model, of, given)
        read = read_training_hashes(path)
        assert read.dtype == np.uint64
        assert sorted(read.tolist()) == sorted(hashes.tolist())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert same_weights(read_model(tmp_path / "a")[0], model)


def test_the_config_says_how_an_image_becomes_the_input_and_what_the_training_started_from() -> None:
    how = preprocess_params(48, "pad", "none", "keep")
    of = make_config(PARAMS.train, how, "fp32", "0" * 64)
    assert of.preprocess == how
    assert of.init_sha256 == "0" * 64
    assert make_config(PARAMS.train, how, "fp32").init_sha256 is None


@pytest.mark.parametrize(
    ("removed", "added"),
    [({"mask", "unsegmented", "init_sha256"}, {}), ({"init_sha256"}, {}), (set(), {"another": 1})],
    ids=["the one before", "one without init", "a later one"],
)
def test_a_model_of_another_version_is_refused(removed: set[str], added: dict[str, Any], tmp_path: Path) -> None:
    of, path = config("small_resnet"), tmp_path / "model.safetensors"
    save_model(path, build_from_config(of), of, NO_HASHES)
    entries = {key: value for key, value in of.model_dump().items() if key not in removed} | added
    save_file(load_file(path), path, {"config": json.dumps(entries)})
    with pytest.raises(ValueError, match="version"):
        read_model(path)
