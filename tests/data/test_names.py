"""Names that people typed find the files that are meant, and no other."""

import pytest

from malaria.data.names import Names

KNOWN = ["a/IMG_1.png", "b/IMG_2.PNG", "c/IMG_2.png", "field 3.tif", "d/x.png", "e/x.png"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("a/IMG_1.png", "a/IMG_1.png"),
        ("IMG_1.png", "a/IMG_1.png"),
        ("old\\folder\\img-1.JPG", "a/IMG_1.png"),
        ("Field_3", "field 3.tif"),
        ("IMG_2.png", "c/IMG_2.png"),
        ("img_2.jpg", None),  # either of two
        ("x.png", None),
        ("d/x.png", "d/x.png"),
        ("IMG_11.png", None),
    ],
)
def test_a_name_is_found_where_one_alone_can_be_meant(name: str, meant: str | None) -> None:
    assert Names(KNOWN).find(name) == meant


def test_the_nearest_name_is_told() -> None:
    assert Names(KNOWN).find_nearest("IMG_11.png") == "a/IMG_1.png"
    assert Names(KNOWN).find_nearest("quite another") is None
