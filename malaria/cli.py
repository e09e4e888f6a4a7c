"""The `malaria` command.

malaria predict cells/ --csv         # is there a parasite in each of these cells?
malaria demo                         # the same on a page in the browser
malaria export --onnx model.onnx     # the model for programs without torch
malaria compare main flips           # is the experiment flips better than main?
malaria compare fold-0 fold-1 ...    # folds of one variant are pooled
malaria push-runs                    # let others restore what was run here, instead of running it
"""

import argparse
import importlib
import os
from collections.abc import Sequence
from signal import SIGINT
from typing import Any

MODEL_HELP = "a folder with model.safetensors and model.json, a Git revision of this repository, or a file that "
MODEL_HELP += "`malaria export` wrote (default: %(default)s)"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and do what it says; a UserError ends it with its message and status 1."""
    parser = argparse.ArgumentParser(prog="malaria", description="Tools around the malaria cell pipeline.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for add in (_add_predict, _add_demo, _add_export, _add_compare, _add_push_runs):
        add(commands)
    options = parser.parse_args(arguments)
    # torch's threads are not to spin while they wait, for that costs a quarter of the speed of predicting
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        # imported now, so that --help and a mistyped option need not wait for torch
        importlib.import_module(f"malaria.commands.{options.command.replace('-', '_')}").run(options)
    except KeyboardInterrupt:
        raise SystemExit(128 + SIGINT) from None


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser(
        "predict",
        help="say of each image of a cell whether there is a parasite in it",
        description="Predict images of one red blood cell each: the calibrated probability of a parasite, the "
        "decision, and two warnings: doubtful, where the probability is too near the threshold, and unlike, where the "
        "image does not look like those that the model learned from. An image that cannot be read is told on stderr, "
        "the rest go on, and the exit status is 1.",
    )
    predict.add_argument(
        "paths", nargs="+", metavar="PATH", help="image, folder, zip, or - for a list of them on stdin"
    )
    predict.add_argument("--model", default="models", help=MODEL_HELP)
    _add_formats(predict, csv="CSV", json="JSON, one array", jsonl="JSON, an object a line")
    thresholds = predict.add_mutually_exclusive_group()
    thresholds.add_argument("--threshold", type=_share, help="call a cell parasitized from this probability on")
    thresholds.add_argument("--operating-point", metavar="NAME", help="from the model's own threshold of this name on")
    predict.add_argument(
        "--by",
        metavar="patient|folder|FILE.csv",
        help="instead of the cells, count by patient (from names like NLM's), by folder, or by patient as a CSV file "
        "with the columns image and patient says",
    )


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="open a page in the browser to try the model on",
        description="Serve a page on this machine where one drops images of cells and sees what the model says and "
        "where it looks. Nothing leaves the machine. Needs `uv run --extra demo`.",
    )
    demo.add_argument("--model", default="models", help=MODEL_HELP)
    demo.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine alone)"
    )
    demo.add_argument("--port", type=int, default=8421, help="(default: %(default)s)")
    demo.add_argument("--no-browser", action="store_true", help="do not open one")


def _add_export(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="write the model as ONNX, for programs without torch",
        description="Write the model as an ONNX file: uint8 (N, size, size, 3) in, probability out, with "
        "normalisation, calibration and model card in it. What it says of the cells in data/ is compared with torch. "
        "Needs `uv run --extra onnx`.",
    )
    export.add_argument("--onnx", required=True, metavar="FILE.onnx", help="where to write it")
    export.add_argument("--int8", action="store_true", help="quantised to 8 bits, on cells of data/cells.npy")
    export.add_argument("--model", default="models", help=MODEL_HELP)


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="say which differences between experiments are real",
        description="Compare experiments with the first one, on the test cells that both have. Experiments that differ "
        "only in split.fold or train.seed are pooled. Intervals are 95 %%, from a bootstrap over patients.",
    )
    compare.add_argument("revisions", nargs="+", metavar="REV", help="experiment, branch, tag, commit or 'workspace'")
    _add_formats(compare, md="a Markdown table", csv="CSV, every figure", json="JSON, every figure")


def _add_push_runs(commands: Any) -> None:
    push = commands.add_parser(
        "push-runs",
        help="push what was run here, for others to restore",
        description="Push the run cache and all that its runs made to a remote. `dvc exp run --pull` in another clone "
        "then restores what was run here.",
    )
    push.add_argument("-r", "--remote", help="one of `dvc remote list`, the default one if not given")


def _add_formats(command: argparse.ArgumentParser, **formats: str) -> None:
    """An option for each, of which one may be given: `format` is its name, or else `text`."""
    group = command.add_mutually_exclusive_group()
    for name, text in formats.items():
        group.add_argument(f"--{name}", dest="format", action="store_const", const=name, default="text", help=text)


def _share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no probability: from 0 to 1")
    return value


if __name__ == "__main__":
    main()
