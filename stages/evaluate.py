"""Predict the cells of val and test, and evaluate and explain the predictions: `python -m stages evaluate`.

Reads:    models/model.safetensors, data/cells.npy, data/split.csv; the files that evaluate.doubted and
          evaluate.corrections name, if any
Writes:   data/predictions.csv: name,patient,label,split,logit,probability,ood_score, from which all the rest follows;
          models/model.json: the model card, with what was chosen on val (temperature, thresholds) and the cost;
          metrics/metrics.json: the headline metrics of test;
          plots/: metrics.csv (all metrics with intervals over patients, and of test also those without the cells that
          evaluate.doubted lists, and with the labels of evaluate.corrections), confusion.csv, coverage.csv,
          label_errors.csv, operating_points.csv, patients.csv, pr.csv, prevalence.csv, reliability.csv,
          reliability_uncalibrated.csv and roc.csv;
          data/examples/: examples.csv (cells that the report shows: kind,name,patient,label,probability), saliency.npy
          (their maps, uint8 (rows, size, size)), augmented.npy (up to eight cells of train and three draws of the
          last epochs' augmentation of each, uint8 (8, 4, size, size, 3)) and sanity.csv (the share of saliency inside
          of the cell, for the trained network and randomised ones)
Params:   evaluate, train.augment and robust_epochs; download.path, source and sha256, which say what the model was
          trained on
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from malaria.core.artifacts import write_array, write_csv, write_json
from malaria.data.describe import describe_data
from malaria.data.disputed_labels import Corrections, read_corrections, read_doubted
from malaria.data.index import read_index
from malaria.evaluation import examples, thresholds
from malaria.evaluation.grad_cam import find_peak, saliency_maps
from malaria.evaluation.model_card import ModelCard, count_macs
from malaria.evaluation.ood import compare_with_training
from malaria.evaluation.predictions import evaluate_splits, headline, tabulate_predictions
from malaria.evaluation.tables import tabulate
from malaria.model.dataset import Cells, load_cells, to_floats
from malaria.model.hardware import pick_device, prepare
from malaria.model.inference import TTA, predict_logits
from malaria.model.network import count_parameters
from malaria.model.weights import ModelConfig, read_model, read_training_hashes
from malaria.params import Augment, Evaluate, Params

PREDICTIONS = Path("data/predictions.csv")
EXAMPLES = Path("data/examples")


def main(params: Params) -> None:
    """Run the stage."""
    prepare(seed=0)
    network, config = read_model(Path("models/model.safetensors"))
    network = network.to(device := pick_device())
    split = read_index(Path("data/split.csv"))
    doubted = read_doubted(params.evaluate.doubted, split)
    corrections = read_corrections(params.evaluate.corrections, split)
    cells = load_cells(Path("data/cells.npy"), split, device, config.size)
    facts = predict(network, config, split, cells, params.evaluate.tta)
    facts |= {
        "trained_on": describe_data(params.download, split[split.split == "train"]),
        "source": params.download.source,
        "data_sha256": hashlib.sha256(read_training_hashes(Path("models/model.safetensors")).tobytes()).hexdigest(),
    }
    # read back: what is evaluated is what is written, to the last digit
    predictions = read_index(PREDICTIONS)
    card = choose_on_val(predictions[predictions.split == "val"], facts, params.evaluate)
    write_json(Path("models/model.json"), card.model_dump())
    evaluate(predictions, card, params.evaluate.label_error, doubted, corrections)
    explain(network, config, card, predictions, split, cells, params.train.last_augment)


def predict(network: nn.Module, config: ModelConfig, split: pd.DataFrame, cells: Cells, tta: bool) -> dict[str, Any]:
    """Write predictions.csv; return the entries of the model card that follow from the network and its training."""
    held_out = split[split.split.isin(["val", "test"])]
    rows = rows_of(held_out, split, cells)
    # in fp32 whatever the precision of the training, so that another processor gives the same metrics
    logits = predict_logits(TTA(network) if tta else network, cells.pixels, rows, precision="fp32")
    quantiles, ood_scores = compare_with_training(cells, rows)
    predictions, temperature = tabulate_predictions(held_out, logits.numpy(), ood_scores.numpy())
    write_csv(PREDICTIONS, predictions)
    typical = examples.pick_parasitized(predictions, "val")
    peak = find_peak(network, to_floats(cells.pixels[rows_of(typical, split, cells)]))
    return config.model_dump() | {
        "tta": tta,
        "temperature": round(temperature, 6),
        "reference_quantiles": quantiles,
        "saliency_peak": float(f"{peak:.6g}"),
        "parameters": count_parameters(network),
        "macs": count_macs(network, config.size),
    }


def choose_on_val(val: pd.DataFrame, facts: dict[str, Any], params: Evaluate) -> ModelCard:
    """The model card: threshold, margin and OOD limit are chosen on val."""
    points = thresholds.choose_thresholds(val)
    return ModelCard(
        **facts,
        operating_point=params.threshold,
        threshold=thresholds.pick_threshold(points, params.threshold),
        operating_points=points,
        abstain=params.abstain,
        val_logit_quantiles=thresholds.logit_quantiles(val),
        ood_limit=thresholds.ood_limit(val.ood_score.to_numpy(), params.ood),
        error_rates=thresholds.fit_error_rates(val),
    )


def evaluate(
    predictions: pd.DataFrame,
    card: ModelCard,
    label_error: float,
    doubted: set[str] | None,
    corrections: Corrections | None,
) -> None:
    """Write metrics.json and the tables of plots/."""
    limits = card.threshold, card.margin(card.threshold), card.ood_limit, label_error
    metrics = evaluate_splits(predictions, *limits, doubted, corrections)
    tables = tabulate(predictions, card.threshold, card.operating_points, label_error)
    for name, table in (tables | {"metrics": metrics}).items():
        write_csv(Path(f"plots/{name}.csv"), table)
    write_json(Path("metrics/metrics.json"), headline(metrics))
    print(metrics.dropna(axis=1, how="all").to_string(index=False, na_rep=""))


def explain(
    network: nn.Module,
    config: ModelConfig,
    card: ModelCard,
    predictions: pd.DataFrame,
    split: pd.DataFrame,
    cells: Cells,
    augment: Augment,
) -> None:
    """Write data/examples/."""
    shown = examples.choose_examples(predictions, card.threshold)
    batch = to_floats(cells.pixels[rows_of(shown, split, cells)])
    parasitized = examples.pick_parasitized(split, "train").head(examples.SHOWN_AUGMENTED)
    augmented = examples.show_augmentation(cells.pixels[rows_of(parasitized, split, cells)], augment)
    typical = examples.pick_parasitized(predictions, "test")
    sanity = examples.check_sanity(network, config, cells.pixels[rows_of(typical, split, cells)])
    write_csv(EXAMPLES / "examples.csv", shown)
    write_array(EXAMPLES / "saliency.npy", saliency_maps(network, batch, card.saliency_peak).cpu().numpy())
    write_array(EXAMPLES / "augmented.npy", augmented.cpu().numpy())
    write_csv(EXAMPLES / "sanity.csv", sanity.round(5))


def rows_of(table: pd.DataFrame, split: pd.DataFrame, cells: Cells) -> torch.Tensor:
    """The rows in `cells` of the cells that a table names."""
    rows = pd.Series(np.arange(len(split)), index=split.name)
    return torch.tensor(rows[table.name].to_numpy(), device=cells.labels.device)
