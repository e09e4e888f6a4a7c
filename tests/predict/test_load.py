import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file

import malaria
from malaria.cli.__main__ import main
from malaria.core.errors import UserError
from malaria.model.weights import MODEL_FILES
from tests.support.models import config, make_model
from tests.support.scratch import ROOT

Damage = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def save_again(**changes: Any) -> Damage:
    """Write the weights again with another config in the header; without any if nothing is changed."""
    metadata = {"config": json.dumps(config("small_resnet").model_dump() | changes)} if changes else {}
    return lambda path: save_file(load_file(path), path, metadata)


def poison(path: Path) -> None:
    weights = load_file(path)
    next(weight for key, weight in weights.items() if key.endswith("weight")).view(-1)[0] = float("nan")
    save_file(weights, path, {"config": config("small_resnet").model_dump_json()})


DAMAGES: dict[str, Damage] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-9000]),
    "empty": lambda path: path.write_bytes(b""),
    "a header of 2^60 bytes": lambda path: path.write_bytes(struct.pack("<Q", 1 << 60) + b"{}"),
    "no config": save_again(),
    "an unknown architecture": save_again(arch="vit_huge"),
    "another architecture": save_again(arch="simple_cnn"),
    "a million pixels a side": save_again(size=10**6),
    "NaN": poison,
    "a pickle": lambda path: torch.save({"weights": torch.zeros(3)}, path),
    "absent": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_refused_with_ways_to_get_others(damage: str, folder: Path) -> None:
    DAMAGES[damage](folder / "model.safetensors")
    with pytest.raises(UserError, match=r"(?s)model: .*dvc pull.*dvc repro"):
        malaria.load_model(folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda card: card | {"size": 64}, "model.json"),  # of other weights
        (lambda card: {key: card[key] for key in card if key != "threshold"} | {"tta": 3}, "threshold, tta"),
        (lambda card: [], "card"),
        (None, "model.json"),
    ],
    ids=["of another model", "wrong entries", "no object", "absent"],
)
def test_a_bad_model_card_is_refused(change: Callable[[Any], Any] | None, named: str, folder: Path) -> None:
    path = folder / "model.json"
    if change:
        path.write_text(json.dumps(change(json.loads(path.read_text()))))
    else:
        path.unlink()
    with pytest.raises(UserError, match=f"model: .*{named}"):
        malaria.load_model(folder)


@pytest.mark.parametrize("source", ["no/such/folder", "no-such-revision", "none.onnx", "text.onnx"])
def test_a_bad_path_does_not_end_the_process_of_a_server(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`except Exception` around a request handles it; the command ends with one message and status 1."""
    monkeypatch.chdir(tmp_path)
    Path("text.onnx").write_text("not a model")
    with pytest.raises(Exception, match=source) as raised:
        malaria.load_model(source)
    assert type(raised.value) is UserError
    with pytest.raises(SystemExit) as ended:
        main(["predict", "cell.png", "--model", source])
    assert str(ended.value.code) == str(raised.value)


def test_where_nothing_was_trained_the_default_model_of_the_package_is_loaded(
    drawn: list[tuple[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    classifier = malaria.load_model()
    assert classifier.card.source == "nih"
    assert classifier.predict([drawn[0][1]]).probability.between(0, 1).all()
    make_model(tmp_path / "models", trained_on="my cells")
    assert malaria.load_model().card.trained_on == "my cells"
    assert malaria.load_model("default").card == classifier.card


def test_the_default_model_is_that_of_the_committed_run() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.lock")["stages"]
    locked = {out["path"]: out["md5"] for stage in ("train", "evaluate") for out in stages[stage]["outs"]}
    for name in MODEL_FILES:
        shipped = (ROOT / "malaria/default_model" / name).read_bytes()
        assert hashlib.md5(shipped).hexdigest() == locked[f"models/{name}"]


def test_a_model_of_drawn_cells_is_said_to_mean_nothing(tmp_path: Path) -> None:
    cards = [malaria.load_model(make_model(tmp_path / of, source=of)).card for of in ("synthetic", "nih", "own")]
    assert [bool(card.caution) for card in cards] == [True, False, False]


def test_importing_the_library_imports_nothing_heavy() -> None:
    code = "import sys, malaria; print({'torch', 'pandas', 'numpy', 'PIL'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "set()\n"
    with pytest.raises(AttributeError, match="nothing"):
        malaria.nothing  # noqa: B018
