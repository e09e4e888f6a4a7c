"""The page of a slide: one HTML file with all pictures embedded, which loads nothing from the network."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from PIL import Image

from malaria.predict.classifier import Classifier
from malaria.report import pictures
from malaria.slide.overlay import STYLES
from malaria.slide.parasitemia import Parasitemia, estimate_parasitemia
from malaria.slide.quality import OOD
from malaria.slide.summary import Example, Slide, encode, place_saliency, stack_pixels

MAX_SIDE = 2000  # px, of an overlay: a JPEG of half a megabyte
FULL_SIZE = 20  # photographs; of more each is smaller, so that the page stays below 20 MB
EXPLAINED = 64  # cells a batch


def choose_side(photographs: int) -> int:
    """The longer side (px) of the overlays of so many photographs."""
    return round(MAX_SIDE * min(1.0, math.sqrt(FULL_SIZE / max(photographs, 1))))


def measure(slide: Slide, classifier: Classifier) -> Parasitemia:
    """The parasitemia of a slide; only its counts where the model's card has no error rates."""
    rates = classifier.card.error_rates
    sensitivity, specificity = rates.at(slide.threshold) if rates else (None, None)
    called = np.array([sheet.parasitized for sheet in slide.sheets])
    return estimate_parasitemia(called, np.array([sheet.cells for sheet in slide.sheets]), sensitivity, specificity)


def render_slide(slide: Slide, classifier: Classifier, title: str, point: str | None, red_cells: float) -> str:
    """The page.

    Args:
        slide: at least one photograph.
        classifier: with which the cells were called.
        title: of the page.
        point: the name of the threshold's operating point; None where the threshold was given.
        red_cells: per microlitre of blood, assumed.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("malaria.slide"), PackageLoader("malaria.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": share, "count": count, "rounded": rounded, "probability": probability}
    environment.filters |= {"embed": embed}
    rates = classifier.card.error_rates
    return environment.get_template("slide.html").render(
        title=title,
        result=measure(slide, classifier),
        slide=slide,
        cells={
            "parasitized": list(show_examples(slide.parasitized, classifier)),
            "uncertain": list(show_examples(slide.uncertain, classifier)),
        },
        card=classifier.card,
        rates=[beta and describe_beta(*beta) for beta in (rates.at(slide.threshold) if rates else (None, None))],
        saliency=classifier.explain is not None,
        point=point,
        red_cells=red_cells,
        STYLES=STYLES,
        OOD=OOD,
    )


def show_examples(examples: list[Example], classifier: Classifier) -> Iterator[dict[str, Any]]:
    """Each cell as the gallery shows it, its pictures as data URIs; no saliency map where the model has none."""
    for start in range(0, len(examples), EXPLAINED):
        part = examples[start : start + EXPLAINED]
        maps = classifier.explain(stack_pixels(part)) if classifier.explain else [None] * len(part)
        for example, saliency in zip(part, maps, strict=True):
            yield example._asdict() | {
                "picture": embed(encode(example.picture)),
                "saliency": None if saliency is None else embed(encode(_explain(example, saliency, classifier))),
            }


def _explain(example: Example, saliency: Any, classifier: Classifier) -> Image.Image:
    """The picture of a cell under its saliency map."""
    how = classifier.card.preprocess.model_copy(update={"mask": "none"})
    return pictures.overlay(example.picture, place_saliency(example, saliency, how.fit == "stretch"), how)


def embed(jpeg: bytes) -> str:
    """A JPEG as a data URI."""
    return pictures.data_uri("image/jpeg", jpeg)


def describe_beta(alpha: float, beta: float) -> tuple[float, float]:
    """Mean and standard deviation of a Beta distribution."""
    mean = alpha / (alpha + beta)
    return mean, math.sqrt(mean * (1 - mean) / (alpha + beta + 1))


def share(value: float, like: float | None = None) -> str:
    """In percent, as 2.3 %, with as many decimals as two digits of `like`, or of itself, take; n/a where undefined."""
    if math.isnan(value):
        return "n/a"
    percent, size = 100 * value, 100 * (value if like is None else like)
    digits = 0 if size >= 10 or size == 0 else min(4, 1 - math.floor(math.log10(size)))
    return f"{percent:.{digits}f} %"


def probability(value: float) -> str:
    """In percent; never 0 or 100 %, which no finite number of cells shows."""
    if math.isnan(value):
        return "n/a"
    if value > 0.999:
        return "over 99.9 %"
    return "below 0.1 %" if value < 0.001 else f"{100 * value:.{1 if value < 0.1 or value > 0.9 else 0}f} %"


def count(value: float) -> str:
    """As 5,000,000."""
    return f"{value:,.0f}"


def rounded(value: float) -> str:
    """With two significant digits, as 48,000; n/a where undefined."""
    if math.isnan(value):
        return "n/a"
    digits = 1 - math.floor(math.log10(value)) if value >= 1 else 0
    return f"{round(value, digits):,.0f}"
