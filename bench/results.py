"""Which variant is better? `uv run python bench/results.py [TABLE...] [--fold N...]` measures docs/RESULTS.md.

Runs the variants of the tables named, or of all, as experiments `TABLE-VARIANT-FOLD`, and compares each with the first
of its table as `malaria compare` does. What has run before comes from the cache. Writes docs/results/TABLE.csv, all
metrics and the minutes that training took here, and its short form into docs/RESULTS.md; with other folds than the
table's own (--fold), only prints.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from malaria.cli.compare import shorten
from malaria.evaluation.compare import compare_variants, read_run

PAGE, FOLDER = Path("docs/RESULTS.md"), Path("docs/results")
PREVIOUS = "train.robust_epochs=0 evaluate.tta=true"  # as the default was when most tables were made


@dataclass(frozen=True)
class Table:
    """Variants by name, each the params in which it differs from the first, and the folds that each is run on.

    All of them differ from params.yaml in the params of `base`.
    """

    variants: dict[str, str]
    folds: tuple[int, ...] = (0,)
    base: str = PREVIOUS


NOTEBOOK = (
    "train.arch=simple_cnn train.color=keep train.augment=none train.epochs=5 train.batch_size=32 train.optimizer=adam "
    "train.lr=1e-4 train.schedule=constant train.weight_decay=0 train.label_smoothing=0"
)

TABLES = {
    "folds": Table({"default": "", "tta": "evaluate.tta=true"}, folds=(0, 1, 2, 3, 4), base=""),
    "previous-folds": Table({"default": "", "flips": "train.augment=flips"}, folds=(0, 1, 2, 3, 4)),
    "splits": Table({"by-patient": "", "by-cell": "split.by=cell"}, folds=(0, 1, 2, 3, 4)),
    "notebook": Table({"default": "", "notebook": NOTEBOOK}),
    "notebook-by-cell": Table({"default": "split.by=cell", "notebook": f"split.by=cell {NOTEBOOK}"}),
    "augmentation": Table(
        {
            "full": "train.epochs=12",
            "none": "train.epochs=12 train.augment=none",
            "flips": "train.epochs=12 train.augment=flips",
            "color": "train.epochs=12 train.augment=color",
            "randaugment": "train.epochs=12 train.augment=randaugment",
            "mixup": "train.epochs=12 train.augment=mixup",
            "cutmix": "train.epochs=12 train.augment=cutmix",
        }
    ),
    "architectures": Table(
        {
            "small_resnet": "train.epochs=3",
            "simple_cnn": "train.epochs=3 train.arch=simple_cnn train.lr=1e-3",
            "resnet18": "train.epochs=3 train.arch=resnet18 train.lr=1e-3",
            "mobilenet_v3_small": "train.epochs=3 train.arch=mobilenet_v3_small train.lr=1e-3",
            "efficientnet_b0": "train.epochs=3 train.arch=efficientnet_b0 train.lr=1e-3",
            "small_resnet-128": "train.epochs=3 preprocess.size=128",
            "simple_cnn-128": "train.epochs=3 train.arch=simple_cnn train.lr=1e-3 preprocess.size=128",
        }
    ),
}


def measure(name: str, params: str) -> float | None:
    """Run one experiment, under its name; the minutes that its training took, None where it came from the cache."""
    subprocess.run(["dvc", "exp", "remove", "-q", name], stderr=subprocess.DEVNULL)  # of an earlier run
    options = [option for param in params.split() for option in ("-S", param)]
    began: dict[str, float] = {}
    command = ["dvc", "exp", "run", "--temp", "-n", name, *options, "evaluate"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", file=sys.stderr)
            if stage := re.match(r"Running stage '(\w+)'", line):
                began[stage[1]] = time.monotonic()
    if process.returncode:
        raise SystemExit(f"{name} failed, see above; files that Git does not know are not part of it: git add them")
    return (began["evaluate"] - began["train"]) / 60 if {"evaluate", "train"} <= began.keys() else None


def compare(title: str, table: Table, folds: tuple[int, ...]) -> pd.DataFrame:
    """What `malaria compare` says of the variants of a table, with their params and the minutes of a training."""
    runs, minutes = [], []
    for variant, params in table.variants.items():
        names = {fold: f"{title}-{variant}-{fold}" for fold in folds}
        took = pd.Series(
            [measure(name, f"{table.base} {params} split.fold={fold}") for fold, name in names.items()], dtype=float
        )
        runs.append([read_run(name) for name in names.values()])
        minutes.append(took.mean())
    compared = compare_variants(runs).assign(variant=table.variants.keys(), minutes=minutes)
    compared.insert(1, "params", table.variants.values())
    return compared


def remember_minutes(compared: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Those measured before, where nothing was trained this time."""
    if path.exists():
        before = read_table(path).set_index("variant").minutes
        compared["minutes"] = compared.minutes.fillna(compared.variant.map(before))
    return compared


def render(compared: pd.DataFrame) -> str:
    """The short form in Markdown."""
    short = shorten(compared)
    short.insert(1, "params", [f"`{params}`" if params else "" for params in compared.params])
    short["minutes"] = ["" if pd.isna(minutes) else f"{minutes:.1f}" for minutes in compared.minutes]
    return to_markdown(short)


def to_markdown(table: pd.DataFrame) -> str:
    """A table of text and whole numbers, as it is."""
    return table.to_markdown(index=False, disable_numparse=True)


def read_table(path: Path) -> pd.DataFrame:
    """A table of docs/results; what is empty in it is NaN in columns of numbers, "" in those of text."""
    return pd.read_csv(path, dtype={"params": object}).fillna({"params": "", "strength": ""})


def publish(title: str, text: str, page: str) -> str:
    """The page with the text between the marks that bear the title.

    Raises:
        ValueError: it has no such marks.
    """
    mark, end = f"<!-- {title} -->\n", "<!-- end -->"
    before, found, rest = page.partition(mark)
    if not found:
        raise ValueError(f"no place for the table: write <!-- {title} --> and <!-- end --> on lines of their own")
    return f"{before}{mark}{text}\n{end}{rest.partition(end)[2]}"


def write_down(title: str, table: pd.DataFrame, render: Callable[[pd.DataFrame], str]) -> None:
    """Write a table to docs/results, its short form into docs/RESULTS.md, and print that."""
    path = FOLDER / f"{title}.csv"
    table.to_csv(path, index=False, float_format="%.5g", lineterminator="\n")
    text = render(read_table(path))
    PAGE.write_text(publish(title, text, PAGE.read_text("utf-8")), "utf-8")
    print(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--fold", type=int, nargs="+", metavar="N", help="on these folds, and only print")
    options = parser.parse_args()
    for title in options.tables or TABLES:
        compared = compare(title, TABLES[title], tuple(options.fold or TABLES[title].folds))
        if options.fold:
            print(render(compared))
        else:
            write_down(title, remember_minutes(compared, FOLDER / f"{title}.csv"), render)


if __name__ == "__main__":
    main()
