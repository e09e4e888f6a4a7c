"""params.yaml is read as DVC writes it, and what cannot be used is refused by name before any work."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from malaria.params import Params, ParamsError, load_params
from tests.support.scratch import ROOT

Tree = dict[str, Any]


@pytest.fixture
def tree() -> Tree:
    """The repository's own params.yaml, parsed."""
    parsed: Tree = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    return parsed


def refuse(tree: Tree, tmp_path: Path) -> str:
    """The message that these params are refused with."""
    path = tmp_path / "params.yaml"
    YAML(typ="safe", pure=True).dump(tree, path)
    with pytest.raises(ParamsError) as refused:
        load_params(path)
    return str(refused.value)


def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    below = [field.annotation for field in model.model_fields.values()]
    return [model, *(s for b in below if isinstance(b, type) and issubclass(b, BaseModel) for s in sections(b))]


def test_the_repositorys_own_params_are_read() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.download.source == "nih"
    assert params.train.lr == pytest.approx(6e-3)


def test_no_key_has_a_default_so_that_dvc_tracks_every_value() -> None:
    assert all(field.is_required() for section in sections(Params) for field in section.model_fields.values())


@pytest.mark.parametrize("written", ["1e-05", "1e-5", "1E-5", "0.00001"])
def test_a_small_number_is_a_number_as_dvc_writes_it(written: str, tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("lr: 6e-3", f"lr: {written}")
    (tmp_path / "params.yaml").write_text(text)
    assert load_params(tmp_path / "params.yaml").train.lr == 1e-5


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("train", "epochs", "abc"),
        ("train", "epochs", "10"),
        ("train", "epochs", 10.5),
        ("train", "epochs", True),
        ("train", "epochs", 0),
        ("train", "lr", -1.0),
        ("train", "lr", float("nan")),
        ("train", "arch", "small_resnet99"),
        ("train", "seed", -1),
        ("split", "by", "cells"),
        ("split", "val", 1.0),
        ("preprocess", "size", None),
        ("evaluate", "threshold", 0.5),
        ("evaluate", "tta", "yes"),
        ("evaluate", "doubt", 0.0),
        ("evaluate", "abstain", 1.0),
        ("evaluate", "unlike", -0.1),
        ("download", "sha256", "abc"),
    ],
)
def test_a_bad_value_is_named_with_what_it_is(section: str, key: str, value: Any, tree: Tree, tmp_path: Path) -> None:
    tree[section][key] = value
    message = refuse(tree, tmp_path)
    assert f"{section}.{key}: " in message
    assert f"it is {value!r}" in message


def test_a_misspelt_key_is_named_and_so_is_the_one_it_leaves_out(tree: Tree, tmp_path: Path) -> None:
    tree["train"]["epoch"] = tree["train"].pop("epochs")
    message = refuse(tree, tmp_path)
    assert "train.epoch: " in message
    assert "train.epochs: " in message


def test_a_missing_section_is_named(tree: Tree, tmp_path: Path) -> None:
    del tree["split"]
    assert "split: " in refuse(tree, tmp_path)


def test_values_that_contradict_each_other_are_named(tree: Tree, tmp_path: Path) -> None:
    tree["split"] |= {"folds": 5, "fold": 5}
    tree["download"]["synthetic"] |= {"patients": 1000, "cells": 100}
    message = refuse(tree, tmp_path)
    assert "split.fold=5 is not one of split.folds=5" in message
    assert "download.synthetic.cells=100 are too few for download.synthetic.patients=1000" in message


@pytest.mark.parametrize("text", ["", "train: [", "[]", "42"])
def test_what_is_no_params_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml: "):
        load_params(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no such file"):
        load_params(tmp_path / "params.yaml")
