"""The tables of plots/, from data/predictions.csv: for `dvc plots`, the report and the reader."""

from typing import Any

import numpy as np
import pandas as pd

from malaria.data.index import CLASSES
from malaria.evaluation.bootstrap import resample, with_intervals
from malaria.evaluation.calibration import certainty
from malaria.evaluation.curves import pr_points, reliability_points, roc_points
from malaria.evaluation.metrics import classification_metrics, confusion_counts, ratio
from malaria.evaluation.predictions import DIGITS, find_label_errors, uncalibrate

PREVALENCES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


def tabulate(
    predictions: pd.DataFrame, threshold: float, points: dict[str, float | None], label_error: float
) -> dict[str, pd.DataFrame]:
    """The tables by name, of test but for columns val_*; NaN where a value is undefined.

    `points` are the thresholds of the operating points, as `choose_thresholds` gives them.
    """
    val, test = (predictions[predictions.split == name] for name in ("val", "test"))
    tables = {
        "confusion": tabulate_confusion(test, threshold),
        "roc": roc_points(test),
        "pr": pr_points(test),
        "reliability": reliability_points(test),
        "reliability_uncalibrated": reliability_points(uncalibrate(test)),
        "coverage": tabulate_coverage(test, threshold),
        "prevalence": tabulate_prevalence(test, threshold),
        "operating_points": tabulate_operating_points(val, test, points),
        "patients": tabulate_patients(test, threshold),
        "label_errors": find_label_errors(test, label_error),
    }
    exact = {"operating_points": ["threshold"], "label_errors": ["probability"]}  # as they stand elsewhere
    return {name: _round(table, exact.get(name, [])) for name, table in tables.items()}


def tabulate_confusion(cells: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Actual and predicted class of each cell, by name."""
    words = pd.Series(CLASSES)
    predicted = (cells.probability >= threshold).astype(int)
    return pd.DataFrame({"actual": cells.label.map(words), "predicted": predicted.map(words)})


def tabulate_coverage(cells: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Selective prediction: the metrics of the most certain cells, a row a coverage, from 1 down to 0.5.

    The columns are coverage, accuracy, sensitivity and specificity.
    """
    ordered = cells.iloc[np.argsort(-certainty(cells.probability.to_numpy(), threshold), kind="stable")]
    rows = []
    for coverage in np.arange(100, 49, -1) / 100:
        kept = classification_metrics(ordered.head(max(1, round(coverage * len(ordered)))), threshold).iloc[0]
        rows.append({"coverage": coverage, **kept[["accuracy", "sensitivity", "specificity"]]})
    return pd.DataFrame(rows)


def tabulate_prevalence(cells: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Positive and negative predictive value with intervals, a row a prevalence: prevalence, ppv, npv."""
    rates = classification_metrics(cells, threshold)
    resampled = resample(cells, lambda weights: classification_metrics(cells, threshold, weights))
    rows = []
    for prevalence in PREVALENCES:
        values, spread = predictive_values(rates, prevalence), predictive_values(resampled, prevalence)
        rows.append({"prevalence": prevalence} | with_intervals(values.iloc[0], spread))
    return pd.DataFrame(rows)


def predictive_values(rates: pd.DataFrame, prevalence: float) -> pd.DataFrame:
    """ppv and npv of each row's sensitivity and specificity, by Bayes' rule."""
    sensitivity, specificity = rates.sensitivity.to_numpy(), rates.specificity.to_numpy()
    found, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    cleared, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return pd.DataFrame({"ppv": ratio(found, found + alarms), "npv": ratio(cleared, cleared + missed)})


def tabulate_operating_points(val: pd.DataFrame, test: pd.DataFrame, points: dict[str, float | None]) -> pd.DataFrame:
    """A row an operating point: point, threshold, sensitivity and specificity on val, and on test with intervals.

    All but the name are NaN for a point that val could not choose.
    """
    rows: list[dict[str, Any]] = []
    for name, threshold in points.items():
        rates = {} if threshold is None else _tabulate_rates(val, test, threshold)
        rows.append({"point": name, "threshold": threshold, **rates})
    return pd.DataFrame(rows)


def tabulate_patients(cells: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """A row a patient, the highest error rate first."""
    rows = [_tabulate_patient(str(name), part, threshold) for name, part in cells.groupby("patient")]
    return pd.DataFrame(rows).sort_values(["error_rate", "errors"], ascending=False, kind="stable")


def _tabulate_patient(name: str, cells: pd.DataFrame, threshold: float) -> dict[str, Any]:
    counts, rates = confusion_counts(cells, threshold), classification_metrics(cells, threshold).iloc[0]
    return {
        "patient": name,
        "cells": len(cells),
        "parasitized": counts["tp"] + counts["fn"],
        "errors": counts["fn"] + counts["fp"],
        "false_negatives": counts["fn"],
        "false_positives": counts["fp"],
        "error_rate": 1 - rates.accuracy,
        "sensitivity": rates.sensitivity,
        "specificity": rates.specificity,
        "mean_probability": cells.probability.mean(),
    }


def _tabulate_rates(val: pd.DataFrame, test: pd.DataFrame, threshold: float) -> dict[str, Any]:
    names = ["sensitivity", "specificity"]
    on_val, on_test = (classification_metrics(part, threshold)[names].iloc[0] for part in (val, test))
    resampled = resample(test, lambda weights: classification_metrics(test, threshold, weights)[names])
    return {**on_val.add_prefix("val_"), **with_intervals(on_test, resampled)}


def _round(table: pd.DataFrame, exact: list[str]) -> pd.DataFrame:
    """To DIGITS, but for some columns."""
    return table.round({name: DIGITS for name in table.columns if name not in exact})
