"""Tell which differences between experiments are larger than noise.

  malaria compare main flips             # is the experiment flips better than main?
  malaria compare fold-0 fold-1 ...      # folds and seeds of one variant are pooled
  malaria compare HEAD workspace --md    # the files as they are, as a Markdown table
  malaria compare models-a models-b      # two models that were adapted to the same cells

Each revision is an experiment, branch, tag, commit, 'workspace' or the folder of an adapted model. It is compared with
the first one on the test cells that both have. Intervals are 95 %, from a bootstrap over patients.
"""

import argparse
import json
from typing import Any

import pandas as pd

from malaria.cli._options import add_formats
from malaria.evaluation.compare import Run, compare_variants, group_runs, list_differences, read_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("revisions", nargs="+", metavar="REV", help="experiment, branch, tag, commit or 'workspace'")
    add_formats(parser, md="a Markdown table", csv="CSV, all metrics", json="JSON, all metrics")


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
            print(shorten(table).to_markdown(index=False, disable_numparse=True))
            print("\n" + "\n".join(explain(table, variants)))
        case _:
            print(shorten(table).to_string(index=False, na_rep=""))
            print("\n" + "\n".join(explain(table, variants)))


def shorten(table: pd.DataFrame) -> pd.DataFrame:
    """The table for people: metrics with their intervals, in percent."""
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
    """The table for JSON: null where undefined, and with the runs and the differing params of each variant."""
    rows: list[Any] = table.astype(object).where(table.notna(), None).to_dict("records")
    differences = list_differences(variants)
    return [
        {**row, "revisions": [run.name for run in runs], "params": differences[runs[0].name]}
        for row, runs in zip(rows, variants, strict=True)
    ]


def explain(table: pd.DataFrame, variants: list[list[Run]]) -> list[str]:
    """The params of the variants, and the number of cells each verdict rests on."""
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
    lines.append("[95 % interval over patients]; McNemar's p assumes independent cells, so it is too small")
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
