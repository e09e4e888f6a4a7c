import html
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import malaria.slide
from malaria.predict.classifier import Classifier
from malaria.slide.page import EXPLAINED, choose_side, embed, measure, probability, render_slide, rounded, share
from malaria.slide.summary import Slide, encode
from tests.support.models import config, make_card
from tests.support.slides import call_discs, many


def make_classifier(explain: bool = True, **changes: Any) -> Classifier:
    """One that scores nothing, and finds each cell's right half salient."""

    def maps(cells: np.ndarray) -> np.ndarray:
        assert len(cells) <= EXPLAINED
        return np.tile(np.repeat(np.array([0, 255], np.uint8), 16), (len(cells), 32, 1))

    card = make_card(config("small_resnet"), trained_on="drawn <cells>", **changes)
    return Classifier(card, score=lambda _: (np.zeros(0), np.zeros((0, 9))), explain=maps if explain else None)


def make_slide(positive: int = 40, of: int = 200, ood: int = 0) -> Slide:
    """Two photographs, each with so many of its cells called parasitized, the first of these uncertain."""
    calls = pd.DataFrame({"probability": [0.95] * positive + [0.02] * (of - positive)})
    calls["prediction"] = ["Parasitized"] * positive + ["Uninfected"] * (of - positive)
    calls["uncertain"] = calls.index == 0
    calls["ood"] = ["dark"] * ood + [""] * (of - ood)
    slide = Slide(threshold=0.5, max_side=800)
    for name in ("one.jpg", "<two>.jpg"):
        slide.add(name, call_discs(calls))
    return slide


def render(slide: Slide, classifier: Classifier, point: str | None = "default") -> str:
    return render_slide(slide, classifier, "A <smear>", point, 4e6)


def test_the_parasitemia_comes_with_its_interval_counts_and_cells_per_microlitre() -> None:
    slide, classifier = make_slide(), make_classifier()
    result = measure(slide, classifier)
    page = render(slide, classifier)
    assert (result.cells, result.called) == (400, 80)
    assert 0.1 < result.low < result.parasitemia < result.high < 0.4
    for text in (share(result.parasitemia, result.high), share(result.high), "4,000,000", "400", "80"):
        assert text in page
    assert rounded(result.parasitemia * 4e6) in page
    assert page.index(share(result.high)) < page.index("<table")


def test_where_the_interval_begins_at_0_its_end_comes_first() -> None:
    slide = make_slide(positive=3)
    result = measure(slide, make_classifier())
    assert result.low == 0
    assert f"below {share(result.high)}" in render(slide, make_classifier())


def test_what_a_count_cannot_be_relied_on_for_comes_before_it() -> None:
    drawn = make_classifier(source="synthetic")
    pages = {"ood": render(make_slide(ood=190), make_classifier()), "drawn": render(make_slide(), drawn)}
    heads = {name: page[: page.index("Parasitemia</p>")] for name, page in pages.items()}
    assert "95 % of the red cells are out of distribution" in heads["ood"]
    assert drawn.card.caution in html.unescape(heads["drawn"])
    assert "<strong>" not in render(make_slide(), make_classifier()).partition("Parasitemia</p>")[0]


def test_without_error_rates_there_is_no_parasitemia() -> None:
    classifier = make_classifier(error_rates=None)
    assert math.isnan(measure(make_slide(), classifier).high)
    page = render(make_slide(), classifier)
    assert "no error rates" in page
    assert "20 %" in page  # the share of the cells that were called


def test_a_slide_without_cells_has_a_page() -> None:
    slide = Slide(threshold=0.5, max_side=800)
    slide.add("empty.jpg", many(0))
    page = render(slide, make_classifier())
    assert "No red cell was counted" in page
    assert "No smear" in page


def test_each_cell_of_the_galleries_has_its_saliency_map_if_the_model_has_any() -> None:
    assert render(make_slide(), make_classifier()).count('alt="its saliency map"') == 80
    assert 'alt="its saliency map"' not in render(make_slide(), make_classifier(explain=False))


def test_names_and_titles_are_escaped() -> None:
    slide = make_slide()
    slide.add_broken("<three>.jpg", "not an <image>")
    page = render(slide, make_classifier())
    for text in (
        "A &lt;smear&gt;",
        "&lt;two&gt;.jpg",
        "&lt;three&gt;.jpg",
        "not an &lt;image&gt;",
        "drawn &lt;cells&gt;",
    ):
        assert text in page
    assert "<two>" not in page
    assert "<smear>" not in page


def test_it_says_where_the_threshold_is_from() -> None:
    assert "operating point default" in render(make_slide(), make_classifier())
    assert "as given" in render(make_slide(), make_classifier(), None)


def test_overlays_of_many_photographs_are_smaller() -> None:
    assert choose_side(1) == choose_side(20) == 2000
    assert choose_side(80) == 1000
    grainy = np.random.default_rng(0).normal(180, 6, (2000, 2000, 3)).clip(0, 255).astype(np.uint8)
    assert len(embed(encode(Image.fromarray(grainy)))) < 1_500_000


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [
        (0.213, None, "21 %"),
        (0.0213, None, "2.1 %"),
        (0.00213, None, "0.21 %"),
        (0, None, "0 %"),
        (1, None, "100 %"),
        (0.004, 0.13, "0 %"),
        (0.0004, 0.0123, "0.0 %"),
        (math.nan, None, "n/a"),
    ],
)
def test_shares_have_two_digits(value: float, like: float | None, text: str) -> None:
    assert share(value, like) == text


def test_numbers_are_rounded_and_no_probability_is_certain() -> None:
    assert [rounded(value) for value in (0, 7, 48_321, 1_049_000, math.nan)] == ["0", "7", "48,000", "1,000,000", "n/a"]
    shown = [probability(value) for value in (0, 0.0213, 0.613, 0.974, 1, math.nan)]
    assert shown == ["below 0.1 %", "2.1 %", "61 %", "97.4 %", "over 99.9 %", "n/a"]


def test_the_templates_are_in_the_package() -> None:
    templates = Path(malaria.slide.__file__).parent / "templates"
    assert {path.name for path in templates.iterdir()} == {"slide.html", "slide.css", "zoom.js"}
