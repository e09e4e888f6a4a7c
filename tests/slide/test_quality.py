from collections import Counter
from dataclasses import replace

import pytest
from PIL import Image, ImageFilter

from malaria import Classifier, load_model
from malaria.slide import quality
from malaria.slide.photographs import CalledPhotograph
from malaria.slide.quality import Problem
from tests.support.models import make_model
from tests.support.slides import call_photograph, draw_photograph, many


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return load_model(make_model(tmp_path_factory.mktemp("model")))


def check_quality(photograph: CalledPhotograph) -> list[Problem]:
    return quality.check_quality(photograph.found, photograph.table)


def names(image: Image.Image, classifier: Classifier) -> list[str]:
    return [problem.name for problem in check_quality(call_photograph(image, classifier))]


def test_blur_darkness_and_emptiness_are_seen_in_photographs(classifier: Classifier) -> None:
    good = draw_photograph(cells=60)
    assert names(good, classifier) == []
    assert names(good.filter(ImageFilter.GaussianBlur(3)), classifier) == ["Out of focus"]
    assert names(good.point(lambda value: value // 6), classifier) == ["Too dark"]
    assert names(Image.new("RGB", (480, 360), "white"), classifier) == ["No smear"]
    assert names(Image.new("RGB", (480, 360)), classifier) == ["Too dark", "No smear"]
    assert names(draw_photograph(cells=12), classifier) == ["Few cells"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"covered": 0.7}, "Too dense"),
        ({"diameter": 20.0}, "Unusual scale"),
        ({"diameter": 300.0}, "Unusual scale"),
        ({"others": Counter(clump=40, small=5)}, "Clumps"),
        ({"sharpness": 0.5}, "Out of focus"),
    ],
)
def test_a_measure_out_of_range_is_named_with_its_value(changes: dict[str, object], problem: str) -> None:
    good = many(100)
    assert check_quality(good) == []
    (found,) = check_quality(replace(good, found=replace(good.found, **changes)))
    assert found.name == problem
    assert any(character.isdigit() for character in found.text)


def test_cells_out_of_distribution_are_a_problem_if_they_are_many() -> None:
    assert check_quality(many(100, ood=["red_to_green"] * 20 + [""] * 80)) == []
    (problem,) = check_quality(many(100, ood=["red_to_green"] * 60 + ["area"] * 20 + [""] * 20))
    assert problem.name == "Out of distribution"
    assert "80%" in problem.text
    assert "red_to_green" in problem.text


def test_cells_at_the_border_are_not_counted() -> None:
    assert [it.name for it in check_quality(many(100, kind=["border"] * 90 + ["single"] * 10))] == ["Few cells"]
