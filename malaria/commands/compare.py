"""`malaria compare`: which differences between experiments are real, as text, Markdown, CSV or JSON."""

import argparse
import json
from typing import Any

import pandas as pd

from malaria.compare import Run, compare_variants, group_runs, list_differences
from malaria.experiments import read_run
from malaria.markdown import to_markdown


def run(options: argparse.Namespace) -> None:
    """Read the revisions, compare their variants, print."""
    variants = group_runs([read_run(revision) for revision in dict.fromkeys(options.revisions)])
    table = compare_variants(variants)
    match options.format:
        case "csv":
            print(table.to_csv(index=False), end="")
        case "json":
            print(json.dumps(to_tree(table, variants), indent=2, allow_nan=False))
        case "md":
            print(to_markdown(shorten(table)))
            print("\n" + "\n".join(explain(table, variants)))
        case _:
            print(shorten(table).to_string(index=False, na_rep=""))
            print("\n" + "\n".join(explain(table, variants)))


def shorten(table: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it: figures with their intervals, shares in percent."""
    short = table[["variant", "runs", "cells"]].copy()
    for name, title in (("accuracy", "accuracy %"), ("sensitivity", "sensitivity %"), ("specificity", "specificity %")):
        short[title] = _with_bounds(table, name, 100, ".2f")
    short["AUC"] = _with_bounds(table, "roc_auc", 1, ".4f")
    if table.accuracy_sd.notna().any():
        short["mean ± sd %"] = [_spread(*pair) for pair in zip(table.accuracy_mean, table.accuracy_sd, strict=True)]
    if len(table) > 1:
        short["difference, points"] = _with_bounds(table, "difference", 100, "+.2f")
        short["McNemar p"] = ["" if pd.isna(p) else f"{p:.2g}" for p in table.mcnemar_p]
        short["verdict"] = table.verdict.fillna("")
    return short


def to_tree(table: pd.DataFrame, variants: list[list[Run]]) -> list[dict[str, object]]:
    """The table for JSON: null for what cannot be told, and with the runs and the differing params of each variant."""
    rows: list[Any] = table.astype(object).where(table.notna(), None).to_dict("records")
    differences = list_differences(variants)
    return [
        {**row, "revisions": [run.name for run in runs], "params": differences[runs[0].name]}
        for row, runs in zip(rows, variants, strict=True)
    ]


def explain(table: pd.DataFrame, variants: list[list[Run]]) -> list[str]:
    """What the variants are, and on what the verdicts rest."""
    first = variants[0][0].name
    lines = []
    for (name, params), runs in zip(list_differences(variants).items(), variants, strict=True):
        names = ", ".join(run.name for run in runs)
        values = " ".join(f"{key}={value}" for key, value in params.items()) or "the same params"
        lines.append(f"{name}: {values} ({names})")
    for row in table.iloc[1:].to_dict("records"):
        if row["shared"]:
            lines.append(f"{row['variant']} less {first}: on the {row['shared']:.0f} test cells that both have")
        else:
            lines.append(
                f"{row['variant']} shares no test cell with {first}: run both with the same split.by, split.seed, "
                "split.folds and split.fold, or on all folds"
            )
    lines.append("[95 % interval over patients]; McNemar's p takes cells for independent, so it is too sure of itself")
    return lines


def _with_bounds(table: pd.DataFrame, name: str, scale: float, spec: str) -> list[str]:
    """Each value of a column with its interval; empty where there is none."""
    cells = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
    return [
        "" if pd.isna(value) else _format(value * scale, low * scale, high * scale, spec) for value, low, high in cells
    ]


def _format(value: float, low: float, high: float, spec: str) -> str:
    bounds = "" if pd.isna(low) else f" [{low:{spec}}, {high:{spec}}]"
    return f"{value:{spec}}{bounds}"


def _spread(mean: float, sd: float) -> str:
    return "" if pd.isna(sd) else f"{100 * mean:.2f} ± {100 * sd:.2f}"
