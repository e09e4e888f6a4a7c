"""Write a page on photographs of one thin smear: its parasitemia, and the cells that were predicted parasitized.

  malaria smear-report photographs/ -o slide.html      # a page that opens offline, all pictures in it
  malaria smear-report *.jpg -o slide.html --title "Patient 7" --red-cells 4.2e6

Red cells are found in each photograph and predicted. The parasitemia has an interval of 95 %, which needs a model whose
card has error rates. A photograph that cannot be read is named on stderr and on the page, the others are counted, and
the exit status is 1. A research tool, not a diagnostic device.
"""

import argparse
import math
import sys
from pathlib import Path

from tqdm import tqdm

from malaria.cli._options import add_model, add_red_cells, add_thresholds, warn_of_model
from malaria.core.artifacts import write_text
from malaria.core.errors import UserError
from malaria.core.workers import count_cores
from malaria.data.image_files import ImageFile, find_images
from malaria.model.hardware import prepare
from malaria.predict.batch import predict_files
from malaria.predict.classifier import Classifier
from malaria.predict.load import load_model
from malaria.slide.page import choose_side, measure, render_slide, share
from malaria.slide.photographs import reopen
from malaria.slide.summary import Slide


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("paths", nargs="+", metavar="PHOTO", help="photograph, folder or zip, all of one smear")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.html", help="the page to write")
    add_model(parser)
    add_thresholds(parser)
    add_red_cells(parser)
    parser.add_argument("--title", default="Malaria smear report", help="of the page (default: %(default)s)")


def run(options: argparse.Namespace) -> None:
    """Call the cells, write the page, print the parasitemia; exit status 1 if a photograph could not be read."""
    prepare(seed=0)
    classifier = load_model(options.model)
    warn_of_model(classifier.card)
    point, threshold = options.operating_point, options.threshold
    if threshold is None:
        point = point or classifier.card.operating_point
        threshold = classifier.find_threshold(point) if options.operating_point else classifier.card.threshold
    files = list(find_images(options.paths))
    slide = read_slide(files, classifier, threshold)
    if not slide.sheets:
        raise UserError(f"none of {len(files)} photographs could be read, so there is no page")
    write_text(options.output, render_slide(slide, classifier, options.title, point, options.red_cells))
    print(describe(slide, classifier))
    print(f"The page is at {options.output.resolve().as_uri()}", file=sys.stderr)
    if slide.broken:
        raise SystemExit(f"{len(slide.broken)} of {len(files)} photographs could not be read")


def read_slide(files: list[ImageFile], classifier: Classifier, threshold: float) -> Slide:
    """The slide, one photograph in memory at a time; what could not be read goes to stderr, above the bar."""
    slide = Slide(threshold, choose_side(len(files)))
    with tqdm(total=len(files), desc="counting", unit="photograph", disable=None) as bar:
        for part in predict_files(files, classifier, threshold, count_cores(), "photo"):
            for line in part.broken:
                slide.add_broken(*line.split(": ", 1))
                bar.write(line, file=sys.stderr)
            if part.file:
                slide.add(part.file.name, reopen(part))
            bar.update(part.images)
    return slide


def describe(slide: Slide, classifier: Classifier) -> str:
    """The counts and the parasitemia in a line."""
    result = measure(slide, classifier)
    counts = f"{result.called:,} of {result.cells:,} red cells predicted parasitized"
    if math.isnan(result.high):
        return f"{counts}; no parasitemia, since no cell was counted or the model's card has no error rates"
    low, high = (share(value, result.high) for value in (result.low, result.high))
    return f"Parasitemia {share(result.parasitemia, result.high)} (95 % interval {low} to {high}): {counts}"
