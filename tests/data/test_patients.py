"""Patients of images from a CSV file."""

from pathlib import Path

import pytest

from malaria.core.errors import UserError
from malaria.data.patients import Patients, read_patients

TABLE = "\ufeffPhoto;Patient\r\nIMG_1.jpg;Müller\r\nIMG_2.jpg;P2\r\nIMG_3.jpg;\r\n".encode()


def test_images_that_are_not_in_the_table_are_told_with_the_nearest() -> None:
    patients = Patients(TABLE, "patients.csv")
    assert [patients.find(f"photos/img-{n}.png") for n in (1, 2, 3)] == ["Müller", "P2", ""]
    assert patients.describe_missing() == ""
    assert patients.find("IMG_17.png") == patients.find("another.png") == ""
    assert "IMG_17.png" in patients.describe_missing()
    assert "IMG_1.jpg" in patients.describe_missing()


@pytest.mark.parametrize("data", [b"image,name\na,b\n", b"file,patient\na,b\n", b"image,patient\n"])
def test_a_table_without_images_or_patients_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_bytes(data)
    with pytest.raises(UserError, match="patients"):
        read_patients(tmp_path / "patients.csv")
