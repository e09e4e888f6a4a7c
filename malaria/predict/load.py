"""Load a model: the default, or from a folder, a revision of the repository, or an ONNX file."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from malaria.core.errors import UserError
from malaria.core.hashing import Hashes
from malaria.core.repository import read_artifact
from malaria.core.workers import count_cores
from malaria.data.decode import Pixels
from malaria.evaluation.grad_cam import saliency_maps
from malaria.evaluation.metrics import Array
from malaria.evaluation.model_card import ModelCard, read_card
from malaria.evaluation.ood import OODScore
from malaria.model.dataset import to_floats
from malaria.model.hardware import pick_device
from malaria.model.inference import BATCH, TTA
from malaria.model.weights import CARD, MODEL_FILES, WEIGHTS, read_model, read_training_hashes
from malaria.predict.classifier import Classifier

DEFAULT = "default"  # names the model that is part of the package
ONNX_BATCH = 64  # cells a run
HOW_TO_GET_ONE = (
    "`uv run dvc pull models/model.safetensors models/model.json` fetches it from a remote, `uv run dvc repro` trains "
    "it in minutes, --model default takes the one that comes with malaria; or name another folder, a Git revision, or "
    "an .onnx file"
)


class Scorer(nn.Module):
    """(N, size, size, 3) uint8 cells to calibrated probabilities (N,) and scores of the OOD statistics (N, 9)."""

    def __init__(self, network: nn.Module, card: ModelCard) -> None:
        super().__init__()
        self.network = network
        self.logits = TTA(network) if card.tta else network
        self.ood = OODScore(card.reference_quantiles)
        self.temperature = card.temperature

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        batch = to_floats(cells)
        return torch.sigmoid(self.logits(batch) / self.temperature), self.ood(batch)


def load_model(source: str | Path = "models") -> Classifier:
    """Load a model from a folder (model.safetensors and model.json), an ONNX file that `malaria export` wrote, a
    revision of the repository in the current folder (a branch, tag, commit or experiment), or "default", the one that
    is part of the package. Where the folder `models` has no model, it is the default, too.

    Raises:
        UserError: there is no model, or it is incomplete or of another version.
    """
    return _load_onnx(Path(source)) if Path(source).suffix == ".onnx" else as_classifier(*load_scorer(source))


def load_scorer(source: str | Path) -> tuple[Scorer, ModelCard]:
    """The model of a folder or revision in torch, on the GPU if there is one, and its card.

    Raises:
        UserError: there is no model, or it is incomplete or of another version.
    """
    with model_folder(source) as folder:
        return _read_scorer(folder, str(source))


def load_with_hashes(source: str | Path) -> tuple[Classifier, Hashes | None]:
    """The model as of `load_model`, and the hashes of the cells that it was trained and validated on, sorted.

    An ONNX file has no hashes.

    Raises:
        UserError: there is no model, or it is incomplete or of another version.
    """
    if Path(source).suffix == ".onnx":
        return _load_onnx(Path(source)), None
    with model_folder(source) as folder:
        return as_classifier(*_read_scorer(folder, str(source))), read_training_hashes(folder / WEIGHTS)


@contextmanager
def model_folder(source: str | Path) -> Iterator[Path]:
    """The folder with the files of a model: the source itself, or those of a revision, for a while.

    For DEFAULT, and where nothing has been trained or pulled to `models`, it is in the package.

    Raises:
        UserError: there is no such revision, or its model cannot be reached.
    """
    if str(source) == DEFAULT or (str(source) == "models" and not Path(source, WEIGHTS).exists()):
        with as_file(files("malaria") / "default_model") as folder:
            yield folder
        return
    if Path(source).is_dir():
        yield Path(source)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in MODEL_FILES:
            (Path(folder) / name).write_bytes(read_artifact(str(source), f"models/{name}"))
        yield Path(folder)


def as_classifier(scorer: Scorer, card: ModelCard) -> Classifier:
    """The scorer as functions of NumPy arrays, in batches that suit its device."""
    device = scorer.ood.middle.device
    lock = threading.Lock()  # Grad-CAM hooks into the network: no other forward pass may run meanwhile

    @torch.inference_mode()
    def score(cells: Pixels) -> tuple[Array, Array]:
        with lock:
            parts = [scorer(batch.to(device)) for batch in torch.split(_to_tensor(cells), BATCH[device.type])]
        probability, scores = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
        return probability, scores

    def explain(cells: Pixels) -> Pixels:
        batch = to_floats(_to_tensor(cells).to(device))
        with lock:
            return saliency_maps(scorer.network, batch, card.saliency_peak).cpu().numpy()

    return Classifier(card, score, explain)


def _to_tensor(cells: Pixels) -> torch.Tensor:
    """Without a copy, unless the array is read-only, of which torch would warn."""
    return torch.from_numpy(np.require(cells, requirements="W"))


def read_folder(folder: Path, name: str) -> tuple[nn.Module, ModelCard]:
    """The network, on the CPU, and the card of a model folder, which messages call `name`.

    Raises:
        UserError: there is no model, or it is incomplete or of another version.
    """
    try:
        card = read_card((folder / CARD).read_bytes())
        network, config = read_model(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise UserError(
            f"{name}: no {Path(error.filename or WEIGHTS).name} in it, so no model: {HOW_TO_GET_ONE}"
        ) from None
    except ValueError as error:
        raise UserError(f"{name}: an incomplete model, or one of another version: {error}\n{HOW_TO_GET_ONE}") from None
    if not config.model_dump().items() <= card.model_dump().items():
        raise UserError(f"{name}: {CARD} is not of the weights beside it; get both anew: {HOW_TO_GET_ONE}")
    return network, card


def _read_scorer(folder: Path, name: str) -> tuple[Scorer, ModelCard]:
    network, card = read_folder(folder, name)
    return Scorer(network, card).to(pick_device()).eval(), card


def _load_onnx(path: Path) -> Classifier:
    """Run on the CPU by onnxruntime, in batches of ONNX_BATCH."""
    try:
        from malaria.predict.onnx_runtime import onnxruntime
    except ModuleNotFoundError:
        raise UserError(
            f"{path}: onnxruntime is not installed; `uv run --extra onnx malaria ...` installs it"
        ) from None
    if not path.exists():
        raise UserError(f"{path}: no such file; `uv run --extra onnx malaria export --onnx {path}` makes one")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count_cores()
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # else it would take the cores of the decoding processes
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        card = read_card(session.get_modelmeta().custom_metadata_map["card"])
    except Exception as error:  # onnxruntime has no error of its own to catch
        raise UserError(
            f"{path}: not a model that `malaria export` wrote, or one of another version: {error}"
        ) from None

    def score(cells: Pixels) -> tuple[Array, Array]:
        starts = range(0, max(1, len(cells)), ONNX_BATCH)
        parts = [session.run(["probability", "scores"], {"cells": cells[at : at + ONNX_BATCH]}) for at in starts]
        probability, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
        return probability, scores

    return Classifier(card, score)
