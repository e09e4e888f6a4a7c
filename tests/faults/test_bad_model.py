"""Bad models."""

import importlib
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from malaria.cli.__main__ import main as malaria
from malaria.core.errors import UserError
from malaria.data.index import CLASSES
from tests.support.fault_table import Survived
from tests.support.models import config, make_model
from tests.support.scratch import ROOT

WEIGHTS, CARD = Path("models/model.safetensors"), Path("models/model.json")
Damage = Callable[[], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a model of random weights and twelve cells of noise."""
    root = tmp_path_factory.mktemp("made")
    make_model(root / "models")
    (root / "data").mkdir()
    shutil.copy(ROOT / "params.yaml", root)
    np.save(root / "data/cells.npy", np.random.default_rng(0).integers(1, 256, (12, 32, 32, 3), dtype=np.uint8))
    split = pd.DataFrame({"label": [0, 1] * 6, "split": np.repeat(["train", "val", "test"], 4)})
    split.insert(0, "name", [f"{CLASSES[label]}/C1P1ThinF_IMG_1_cell_{n}.png" for n, label in enumerate(split.label)])
    split = split.assign(patient="C1", smear="a")
    split.to_csv(root / "data/split.csv", index=False)
    judged = split[split.split != "train"].assign(logit=0.5, probability=0.6, ood_score=0.1)
    judged.to_csv(root / "data/predictions.csv", index=False)
    return root


@pytest.fixture
def workspace(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to damage."""
    monkeypatch.chdir(shutil.copytree(made, tmp_path / "workspace"))
    return tmp_path / "workspace"


def refusal(stage: str) -> str:
    """What a stage ends with; nothing in the workspace was changed by it."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    with pytest.raises(UserError) as ended:
        importlib.import_module(f"stages.{stage}").main()
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    return str(ended.value)


def refusal_of_predict(source: str = "models") -> str:
    with pytest.raises(UserError) as ended:
        malaria(["predict", "cell.png", "--model", source])
    return str(ended.value)


def rewrite(header: Callable[[dict[str, Any]], object]) -> None:
    """The header of the weights changed, the rest as it was."""
    data = WEIGHTS.read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    tree = json.loads(data[8:end])
    header(tree)
    text = json.dumps(tree).encode()
    WEIGHTS.write_bytes(struct.pack("<Q", len(text)) + text + data[end:])


def told(**changes: Any) -> Damage:
    """The config in the header changed."""

    def change(tree: dict[str, Any]) -> None:
        known = json.loads(tree["__metadata__"]["config"])
        tree["__metadata__"]["config"] = json.dumps(known | changes)

    return lambda: rewrite(change)


def first_tensor(tree: dict[str, Any]) -> dict[str, Any]:
    return tree[next(key for key in tree if key != "__metadata__")]


def poison() -> None:
    weights = load_file(WEIGHTS)
    next(weight for key, weight in weights.items() if key.endswith("weight")).view(-1)[0] = float("nan")
    save_file(weights, WEIGHTS, {"config": config("small_resnet").model_dump_json()})


def other_architecture() -> None:
    make_model(Path("other"), "simple_cnn")
    save_file(load_file("other/model.safetensors"), WEIGHTS, {"config": config("small_resnet").model_dump_json()})
    shutil.rmtree("other")


def flip() -> None:
    data = bytearray(WEIGHTS.read_bytes())
    data[100] ^= 1 << 7
    WEIGHTS.write_bytes(data)


FILE = "no whole safetensors file"
BROKEN: dict[str, tuple[Damage, str]] = {
    "cut to half": (lambda: WEIGHTS.write_bytes(WEIGHTS.read_bytes()[:-9000]), FILE),
    "random bytes": (lambda: WEIGHTS.write_bytes(np.random.default_rng(0).bytes(9000)), FILE),
    "emptied": (lambda: WEIGHTS.write_bytes(b""), FILE),
    "a bit of the header flipped": (flip, FILE),
    "a header that claims 2^60 bytes": (lambda: WEIGHTS.write_bytes(struct.pack("<Q", 1 << 60) + b"{}"), FILE),
    "a header whose tensor lies beyond the end": (
        lambda: rewrite(lambda tree: first_tensor(tree).update(data_offsets=[0, 10**12])),
        FILE,
    ),
    "a header whose shape is not that of its bytes": (
        lambda: rewrite(lambda tree: first_tensor(tree).update(shape=[10**6])),
        FILE,
    ),
    "a header without a config": (
        lambda: rewrite(lambda tree: tree.pop("__metadata__")),
        "no config that is known here",
    ),
    "a config of an unknown network": (told(arch="vit_huge"), "a network called vit_huge, which is none of simple_cnn"),
    "a config of another network": (
        told(arch="simple_cnn"),
        "not the weights of simple_cnn at 32 px: ",
    ),
    "a config of 1,000,000 px": (told(arch="simple_cnn", size=10**6), "no config that is known here"),
    "weights of another network": (other_architecture, "not the weights of small_resnet at 32 px: "),
    "weights that are NaN": (poison, "train again, with a lower train.lr"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_weights_that_cannot_be_used(fault: str, workspace: Path, survived: Survived) -> None:
    damage, expected = BROKEN[fault]
    damage()
    message = refusal("evaluate")
    assert message.startswith(f"{WEIGHTS}: damaged, or not what its stage writes: ")
    assert expected in message
    assert "`uv run dvc repro` brings it back" in message
    assert refusal("explain").startswith(f"{WEIGHTS}: damaged, or ")
    said = refusal_of_predict()
    assert said.startswith("models: no whole model, or one of another version: ")
    assert expected in said
    assert "`uv run dvc pull models/model.safetensors models/model.json` fetches it" in said
    survived(f"`{WEIGHTS}`: {fault}", "`python -m stages.evaluate`, `stages.explain`, `malaria predict`", message, 3)


CARDS: dict[str, tuple[Callable[[], object], str, str]] = {
    "of another size": (
        lambda: CARD.write_text(json.dumps(json.loads(CARD.read_text()) | {"size": 64})),
        f"models/model.json: damaged, or not what its stage writes: it is not of the weights in {WEIGHTS}",
        "models: model.json is not of the weights beside it; get both anew: ",
    ),
    "without its threshold": (
        lambda: CARD.write_text(
            json.dumps({k: v for k, v in json.loads(CARD.read_text()).items() if k != "threshold"})
        ),
        "models/model.json: damaged, or not what its stage writes: no entry threshold",
        "wrong or missing in its card: threshold",
    ),
    "cut to half": (
        lambda: CARD.write_bytes(CARD.read_bytes()[:200]),
        "models/model.json: damaged, or not what its stage writes: ",
        "wrong or missing in its card: all of it",
    ),
    "emptied": (
        lambda: CARD.write_bytes(b""),
        "models/model.json: damaged, or not what its stage writes: ",
        "wrong or missing in its card: all of it",
    ),
    "gone": (
        CARD.unlink,
        "models/model.json: not there. `uv run dvc repro`",
        "models: no model.json in it, so no model",
    ),
}


@pytest.mark.parametrize("fault", CARDS)
def test_a_card_that_does_not_fit(fault: str, workspace: Path, survived: Survived) -> None:
    damage, expected, predicted = CARDS[fault]
    damage()
    message = refusal("explain")
    assert message.startswith(expected)
    assert predicted in refusal_of_predict()
    survived(f"`{CARD}` {fault}", "`python -m stages.explain`, `malaria predict`", message, 2)


def test_cells_of_another_size_than_the_model(workspace: Path, survived: Survived) -> None:
    np.save("data/cells.npy", np.ones((12, 48, 48, 3), np.uint8))
    message = refusal("evaluate")
    assert "its cells have 48 px, and the model was trained on 32" in message
    survived("cells of another size than the model's", "`python -m stages.evaluate`", message)


def test_an_onnx_file_that_is_none(workspace: Path, survived: Survived) -> None:
    pytest.importorskip("onnxruntime")
    Path("model.onnx").write_bytes(b"junk")
    message = refusal_of_predict("model.onnx")
    assert message.startswith("model.onnx: not a model that `malaria export` wrote, or one of another version: ")
    survived("an ONNX file that is none", "`malaria predict --model model.onnx`", message)


def test_a_pickle_is_never_run(workspace: Path, survived: Survived) -> None:
    torch.save({"weights": Trap()}, WEIGHTS)
    message = refusal("evaluate")
    assert not Path("sprung").exists()
    assert FILE in message
    survived(f"`{WEIGHTS}` a pickle that runs code", "`torch.save`", message)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)
