"""Where a model comes from: a folder, a revision of the repository, or an ONNX file."""

import tempfile
import threading
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError

from malaria.cells import to_floats
from malaria.classifier import Classifier
from malaria.compute import pick_device
from malaria.errors import UserError
from malaria.grad_cam import draw_evidence
from malaria.images import Pixels
from malaria.inference import BATCH
from malaria.machine import count_cores
from malaria.metrics import Array
from malaria.model_card import ModelCard
from malaria.model_files import load_weights
from malaria.outs import CARD, WEIGHTS
from malaria.scorer import Scorer

ONNX_BATCH = 64  # cells a run
HOW_TO_GET_ONE = (
    "`uv run dvc pull models/model.safetensors models/model.json` fetches it from a remote, `uv run dvc repro` trains "
    "it in minutes; or name another folder, a Git revision, or an .onnx file"
)


def load_model(source: str | Path = "models") -> Classifier:
    """The model of a folder (model.safetensors and model.json), of an ONNX file that `malaria export` wrote, or of a
    revision of the repository that one stands in: a branch, tag, commit or experiment.

    Raises:
        UserError: there is none, or it is not whole.
    """
    return _load_onnx(Path(source)) if Path(source).suffix == ".onnx" else as_classifier(*load_scorer(source))


def load_scorer(source: str | Path) -> tuple[Scorer, ModelCard]:
    """The model of a folder or a revision as it was trained, on the best device there is, and its card.

    Raises:
        UserError: there is none, or it is not whole.
    """
    if Path(source).is_dir() or str(source) == "models":
        return _read_folder(Path(source), str(source))
    from malaria.experiments import fetch_model  # DVC, which only a revision needs

    with tempfile.TemporaryDirectory() as folder:
        fetch_model(str(source), Path(folder))
        return _read_folder(Path(folder), str(source))


def as_classifier(scorer: Scorer, card: ModelCard) -> Classifier:
    """What a scorer says, in numpy, in batches that its device likes."""
    device = scorer.deviations.middle.device
    alone = threading.Lock()  # Grad-CAM hooks into the network, so nothing else may pass through it then

    @torch.inference_mode()
    def score(cells: Pixels) -> tuple[Array, Array]:
        with alone:
            parts = [scorer(batch.to(device)) for batch in torch.split(_to_tensor(cells), BATCH[device.type])]
        probability, deviations = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
        return probability, deviations

    def explain(cells: Pixels) -> Pixels:
        batch = to_floats(_to_tensor(cells).to(device))
        with alone:
            return draw_evidence(scorer.network, batch, card.evidence_peak).cpu().numpy()

    return Classifier(card, score, explain)


def _to_tensor(cells: Pixels) -> torch.Tensor:
    """The same memory, unless it is not to be written to, which torch would complain of."""
    return torch.from_numpy(np.require(cells, requirements="W"))


def read_card(data: str | bytes) -> ModelCard:
    """The card of a model.

    Raises:
        ValueError: naming the entries that are missing or wrong.
    """
    try:
        return ModelCard.model_validate_json(data)
    except ValidationError as error:
        entries = {".".join(map(str, detail["loc"])) or "all of it" for detail in error.errors()}
        raise ValueError(f"wrong or missing in its card: {', '.join(sorted(entries))}") from None


def _read_folder(folder: Path, name: str) -> tuple[Scorer, ModelCard]:
    try:
        card = read_card((folder / CARD).read_bytes())
        network, recipe = load_weights(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise UserError(
            f"{name}: no {Path(error.filename or WEIGHTS).name} in it, so no model: {HOW_TO_GET_ONE}"
        ) from None
    except ValueError as error:
        raise UserError(f"{name}: no whole model, or one of another version: {error}\n{HOW_TO_GET_ONE}") from None
    if not recipe.model_dump().items() <= card.model_dump().items():
        raise UserError(f"{name}: {CARD} is not of the weights beside it; get both anew: {HOW_TO_GET_ONE}")
    return Scorer(network, card).to(pick_device()).eval(), card


def _load_onnx(path: Path) -> Classifier:
    """Run on the processor by onnxruntime, in batches of 64."""
    try:
        from malaria.onnx_runtime import onnxruntime
    except ModuleNotFoundError:
        raise UserError(f"{path}: onnxruntime is missing; `uv run --extra onnx malaria ...` brings it") from None
    if not path.exists():
        raise UserError(f"{path}: no such file; `uv run --extra onnx malaria export --onnx {path}` makes one")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count_cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # or those who decode beside it starve
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        card = read_card(session.get_modelmeta().custom_metadata_map["card"])
    except Exception as error:  # onnxruntime has no error of its own to catch
        raise UserError(
            f"{path}: not a model that `malaria export` wrote, or one of another version: {error}"
        ) from None

    def score(cells: Pixels) -> tuple[Array, Array]:
        starts = range(0, max(1, len(cells)), ONNX_BATCH)
        parts = [session.run(["probability", "deviations"], {"cells": cells[at : at + ONNX_BATCH]}) for at in starts]
        probability, deviations = (np.concatenate(part) for part in zip(*parts, strict=True))
        return probability, deviations

    return Classifier(card, score)
