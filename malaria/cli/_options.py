"""Options that several commands share, and what they say of the model."""

import argparse
import math
import sys

from malaria.data.index import CLASSES
from malaria.evaluation.model_card import ModelCard
from malaria.slide.parasitemia import RED_CELLS


def add_model(parser: argparse.ArgumentParser) -> None:
    """`--model`, as `malaria.load_model` takes it."""
    parser.add_argument(
        "--model",
        default="models",
        help="a folder with model.safetensors and model.json, a Git revision of this repository, a file that "
        "`malaria export` wrote, or default, the model that comes with malaria (default: the folder %(default)s, or "
        "where it has no model, default)",
    )


def warn_of_model(card: ModelCard) -> None:
    """Say on stderr what a user must know of the model before anything else."""
    if card.caution:
        print(card.caution, file=sys.stderr)


def add_thresholds(parser: argparse.ArgumentParser) -> None:
    """`--threshold` or `--operating-point`; the default is the model's threshold."""
    thresholds = parser.add_mutually_exclusive_group()
    thresholds.add_argument("--threshold", type=_probability, help="predict Parasitized from this probability on")
    thresholds.add_argument("--operating-point", metavar="NAME", help="the model's threshold of this name")


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a probability (0 to 1)")
    return value


def add_formats(parser: argparse.ArgumentParser, **formats: str) -> None:
    """An option for each output format, of which one may be given, as `format`; the default is text."""
    group = parser.add_mutually_exclusive_group()
    for name, text in formats.items():
        group.add_argument(f"--{name}", dest="format", action="store_const", const=name, default="text", help=text)


def add_classes(parser: argparse.ArgumentParser) -> None:
    """`--classes`, as `download.classes` in params.yaml."""
    parser.add_argument(
        "--classes",
        nargs=2,
        default=list(CLASSES),
        metavar=("UNINFECTED", "PARASITIZED"),
        help="the names of your folders or labels, of the uninfected cells first (0 and 1 are understood too)",
    )


def add_red_cells(parser: argparse.ArgumentParser) -> None:
    """`--red-cells`, per microlitre."""
    parser.add_argument(
        "--red-cells",
        type=_red_cells,
        default=RED_CELLS,
        metavar="NUMBER",
        help="red cells per microlitre of blood, for infected cells per microlitre (default: %(default)s)",
    )


def _red_cells(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of red cells, such as 5e6")
    return value
