"""Bad params.

The other half: what the schema accepts runs, at the ends of each key's range and with each of its choices, or ends in
words that name the key.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from malaria.data.sources import nih
from malaria.core.errors import UserError
from malaria.data.sources.synthetic import draw_cells
from malaria.data.splits import assign_splits, describe_cells
from malaria.evaluation.calibration import choose_margin, choose_thresholds, ood_limit, pick_threshold
from malaria.evaluation.predictions import judge_splits, judge_warnings
from malaria.evaluation.tables import tabulate
from malaria.model.dataset import Cells
from malaria.model.hardware import pick_precision, prepare
from malaria.model.trainer import train_epochs
from malaria.model.weights import build_from_config, load_pretrained, make_config
from malaria.params import FLOAT32, Params, Preprocess, Train
from stages.preprocess import preprocess
from tests.support.fault_table import Survived
from tests.support.param_fields import ends, keys, read_tree
from tests.support.scratch import Scratch
from tests.support.tables import random_predictions

PARAMS = Params.model_validate(read_tree())
QUICK = {"epochs": 1, "batch_size": 8, "arch": "small_resnet"}
LONG = [("epochs", 1000)]  # minutes; the exhaustive test runs it


def values_of(section: str) -> dict[str, list[Any]]:
    """The ends and choices of each key of a section."""
    return {key.path[1]: ends(key) for key in keys() if key.path[0] == section}


@pytest.fixture(autouse=True)
def _deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of a few cells two threads make less, and nothing where others work
    yield
    torch.use_deterministic_algorithms(False)


def train_few(size: int = 32, few: int = 8, **changes: Any) -> list[dict[str, float]]:
    """A training as the stage does it, on cells of noise: twice so few, and so few for val."""
    params = Train(**(PARAMS.train.model_dump() | QUICK | changes))
    device = torch.device("cpu")
    prepare(params.seed)
    precision = pick_precision(params.precision, device)
    config = make_config(params, Preprocess(size=size, fit="stretch"), precision)
    pretrained = load_pretrained(params.arch, params.weights) if params.pretrained else None
    random = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (3 * few, size, size, 3), generator=random, dtype=torch.uint8)
    rows = {"train": torch.arange(2 * few), "val": torch.arange(2 * few, 3 * few)}
    cells = Cells(pixels, (torch.arange(3 * few) % 2).float(), rows)
    return list(train_epochs(build_from_config(config, pretrained), cells, params, precision))


def trains_or_says_why(**changes: Any) -> str:
    """Nothing, if the figures are numbers; else the refusal, which names a key of train."""
    try:
        figures = train_few(**changes)
    except UserError as refusal:
        message = str(refusal)
    else:
        assert all(math.isfinite(value) for epoch in figures for value in epoch.values())
        return ""
    assert "train." in message
    return message


def test_training_takes_every_choice_and_both_ends_of_every_range(survived: Survived) -> None:
    alone = {"pretrained", "freeze", "weights", "devices"}  # below, and in tests/test_parallel.py
    cases = [(key, value) for key, values in values_of("train").items() if key not in alone for value in values]
    refused = {}
    for key, value in cases:
        if (key, value) not in LONG:
            refused[f"{key}={value}"] = trains_or_says_why(**{key: value})
    refused = {case: message for case, message in refused.items() if message}
    assert {case.split("=")[0] for case in refused} <= {"lr", "weight_decay"}  # at 1e30, by which nothing can train
    said = "; ".join(refused.values()) or "none: they run"
    survived("a value at the end of its range", "a training of 24 cells with each", said, tries=len(cases))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
@pytest.mark.parametrize("key", ["lr", "weight_decay"])
def test_no_optimizer_ends_a_training_without_a_word(
    optimizer: str, schedule: str, key: str, survived: Survived
) -> None:
    values = [5e-324, 1e-300, 1e3, 1e10, 1e20, FLOAT32]
    said = [trains_or_says_why(**{key: value, "optimizer": optimizer, "schedule": schedule}) for value in values]
    survived(f"a senseless train.{key}", "from 5e-324 to 1e30", max(said, key=len), tries=len(values))


@pytest.mark.parametrize("augment", values_of("train")["augment"])
@pytest.mark.parametrize("batch_size", [2, 3, 9])
def test_every_augmentation_takes_a_batch_of_a_few(augment: str, batch_size: int) -> None:
    assert trains_or_says_why(augment=augment, batch_size=batch_size) == ""


def test_a_pretrained_network_is_frozen_for_all_but_an_epoch(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(get_model("mobilenet_v3_small").state_dict(), path)
    given = {"arch": "mobilenet_v3_small", "pretrained": True, "weights": str(path)}
    for epochs, freeze in ((1, 0), (3, 2)):
        assert trains_or_says_why(**given, epochs=epochs, freeze=freeze) == ""


def test_every_size_and_fit_is_decoded(archive: Path, drawn: list[tuple[str, bytes]], tmp_path: Path) -> None:
    names = [name for name, _ in drawn[:4]]
    for size in values_of("preprocess")["size"]:
        for fit in values_of("preprocess")["fit"]:
            preprocess(archive, names, tmp_path / "cells.npy", Preprocess(size=size, fit=fit))
            assert np.load(tmp_path / "cells.npy").shape == (4, size, size, 3)


@pytest.mark.slow
def test_the_real_cells_can_be_split_at_every_end(survived: Survived) -> None:
    cells = describe_cells(list(nih.manifest()))
    ends = values_of("split")
    cases = [(by, folds, val) for by in ends["by"] for folds in ends["folds"] for val in ends["val"]]
    refused = []
    for by, folds, val in cases:
        for fold, seed in ((0, ends["seed"][0]), (folds - 1, ends["seed"][1])):
            try:
                split = assign_splits(cells, by, folds, fold, val, seed)
            except ValueError as error:
                refused.append((by, folds, val, str(error)))
            else:
                assert set(split) == {"train", "val", "test"}
    assert {case[:3] for case in refused} == {("patient", 2, 0.01)}  # a half of the patients, into a hundred parts
    message = refused[0][3]
    assert "lower split.folds or raise split.val" in message
    survived("a split at the end of its range", "NLM's 27,558 names", message, tries=2 * len(cases))


def test_the_fewest_cells_are_drawn() -> None:
    least = {key.path[2]: ends(key)[0] for key in keys() if key.path[:2] == ("download", "synthetic")}
    most_seed = {"seed": 2**32 - 1}
    for settings in (least, least | most_seed):
        assert len(list(draw_cells(**settings, workers=1))) == least["cells"]


@pytest.mark.slow
def test_predictions_are_judged_at_every_end(survived: Survived) -> None:
    predictions = random_predictions().assign(ood_score=lambda cells: cells.logit.abs())
    val = predictions[predictions.split == "val"]
    points = choose_thresholds(val)
    values = values_of("evaluate")
    for number, name in enumerate(values["threshold"]):
        threshold = pick_threshold(points, name)
        doubt, abstain, unlike = (values[key][number % 2] for key in ("doubt", "abstain", "unlike"))
        tabulate(predictions, threshold, points, doubt)
        judge_splits(predictions, threshold, doubt)
        limits = choose_margin(val, threshold, abstain), ood_limit(val, unlike)
        assert judge_warnings(val, threshold, *limits)["doubtful_rate"] == pytest.approx(number % 2, abs=0.01)
    tried = len(values["threshold"])
    survived("a judgement at the end of its range", "800 predictions", "none: they are judged", tries=tried)


def test_a_point_that_val_cannot_reach_is_said_by_name(survived: Survived) -> None:
    val = pd.DataFrame({"label": [0, 1], "probability": [0.9, 0.1], "patient": ["C1", "C2"]})
    with pytest.raises(UserError, match=r"^evaluate.threshold: no threshold reaches specificity_99 on val") as refused:
        pick_threshold(choose_thresholds(val), "specificity_99")
    survived("an operating point out of reach", "a model that is wrong", str(refused.value))


@pytest.mark.exhaustive
def test_a_thousand_epochs_and_every_network_at_512_px_run(survived: Survived) -> None:
    assert len(train_few(few=2, epochs=1000, augment="none")) == 1000
    for arch in (networks := values_of("train")["arch"]):
        assert len(train_few(512, few=2, arch=arch)) == 1
    survived("the longest training, the largest input", "1000 epochs; 512 px", "none: they run", 1 + len(networks))


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("patients", "cells", "folds", "val", "more"),
    [
        (10, 100, 2, 0.5, "tta: true"),
        (25, 100, 2, 0.5, "abstain: 0.999"),
        (10, 100, 7, 0.17, "unlike: 0.999"),
        (200, 800, 20, 0.02, "doubt: 0.499"),
    ],
)
def test_the_whole_pipeline_runs_on_the_fewest_cells(
    patients: int, cells: int, folds: int, val: float, more: str, tmp_path: Path, survived: Survived
) -> None:
    scratch = Scratch(tmp_path / "scratch")
    scratch.set_params(
        {
            "source: nih ": "source: synthetic ",
            "patients: 12 ": f"patients: {patients} ",
            "cells: 240 ": f"cells: {cells} ",
            "folds: 3 ": f"folds: {folds} ",
            "val: 0.3 ": f"val: {val} ",
            rf"{more.split(':')[0]}: \S+": more,
        }
    )
    output = scratch.run("uv run dvc repro")
    assert "Traceback" not in output
    survived("hardly any cells", "100 to 800 drawn, train, val or test of a few", output.strip().splitlines()[-1])
