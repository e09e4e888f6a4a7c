import pytest
from hypothesis import given
from hypothesis import strategies as st

from malaria.data.index import CLASSES, label, patient, smear
from malaria.data.sources.nih import manifest

REAL = {  # one of each form in NLM's archive -> its patient and smear
    "C100P61ThinF_IMG_20150918_144104_cell_162.png": ("C100", "C100P61ThinF_IMG_20150918_144104"),
    "C131P92ThinF_IMG_20151004_151126_cell_80.png": ("C131", "C131P92ThinF_IMG_20151004_151126"),
    "C60P21thinF_IMG_20150804_105034_cell_108.png": ("C60", "C60P21thinF_IMG_20150804_105034"),
    "C39P4thinF_original_IMG_20150622_105803_cell_101.png": ("C39", "C39P4thinF_original_IMG_20150622_105803"),
    "C150P111NThinF_IMG_20151115_115950_cell_4.png": ("C150", "C150P111NThinF_IMG_20151115_115950"),
    "C177P138N_ThinF_IMG_20151201_143417_cell_7.png": ("C177", "C177P138N_ThinF_IMG_20151201_143417"),
    "C167P128ReThinF_IMG_20151201_105707_cell_135.png": ("C167", "C167P128ReThinF_IMG_20151201_105707"),
    "C68P29_ThinF_IMG_20150819_133236_cell_1.png": ("C68", "C68P29_ThinF_IMG_20150819_133236"),
    "C208ThinF_IMG_20151029_155506_cell_3.png": ("C208", "C208ThinF_IMG_20151029_155506"),
    "C236NThinF_IMG_20151127_102428_cell_2.png": ("C236", "C236NThinF_IMG_20151127_102428"),
    "C238NthinF_IMG_20151207_114201_cell_5.png": ("C238", "C238NthinF_IMG_20151207_114201"),
    "C51AP12thinF_IMG_20150724_162636_cell_88.png": ("C51", "C51AP12thinF_IMG_20150724_162636"),
    "C37BP2_thinF_IMG_20150620_131111a_cell_91.png": ("C37", "C37BP2_thinF_IMG_20150620_131111a"),
    "C1_thinF_IMG_20150604_104942_cell_168.png": ("C1", "C1_thinF_IMG_20150604_104942"),
    "C3thin_original_IMG_20150608_162835_cell_101.png": ("C3", "C3thin_original_IMG_20150608_162835"),
    "C45P6thin_original_IMG_20150703_150309_cell_9.png": ("C45", "C45P6thin_original_IMG_20150703_150309"),
    "C47P8thin_Original_Motic_IMG_20150714_093806_cell_131.png": (
        "C47",
        "C47P8thin_Original_Motic_IMG_20150714_093806",
    ),
    "C47P8thinOriginalOlympusCX21_IMG_20150714_094729_cell_10.png": (
        "C47",
        "C47P8thinOriginalOlympusCX21_IMG_20150714_094729",
    ),
}


@pytest.mark.parametrize(("file", "expected"), REAL.items(), ids=list(REAL))
def test_each_real_form_has_its_patient_and_smear(file: str, expected: tuple[str, str]) -> None:
    for folder in CLASSES:
        assert (patient(f"{folder}/{file}"), smear(f"{folder}/{file}")) == expected


def test_two_microscopes_are_one_patient_and_two_smears() -> None:
    motic, olympus = "C47P8thin_Original_Motic_IMG_1_cell_1.png", "C47P8thinOriginalOlympusCX21_IMG_1_cell_1.png"
    assert patient(motic) == patient(olympus) == "C47"
    assert smear(motic) != smear(olympus)


def test_the_real_archive_has_200_patients_and_50_of_them_no_parasite() -> None:
    names = manifest()
    infected = {patient(name) for name in names if label(name) == 1}
    assert len({patient(name) for name in names}) == 200
    assert len(infected) == 150
    assert sum(label(name) for name in names) == 13_779
    assert all(smear(name) for name in names)


def test_the_positive_class_is_parasitized() -> None:
    assert label("Parasitized/C1_x_cell_1.png") == 1
    assert label("Uninfected/C1_x_cell_1.png") == 0


@given(st.integers(0, 10**6), st.sampled_from("ABPTtNR_"), st.integers(0, 999))
def test_a_patient_is_its_whole_number(number: int, following: str, cell: int) -> None:
    assert patient(f"Uninfected/C{number}{following}x_cell_{cell}.png") == f"C{number}"


@pytest.mark.parametrize(
    "file", ["P61ThinF_IMG_1_cell_1.png", "C_cell_1.png", "C100.png", "c100P61_cell_1.png", "C1-2_cell_1.png"]
)
def test_a_name_without_a_patient_is_refused_by_name(file: str) -> None:
    with pytest.raises(ValueError, match=f"Uninfected/{file}: no patient"):
        patient(f"Uninfected/{file}")


def test_a_name_without_a_smear_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"C100P61ThinF_162\.png: no smear"):
        smear("Uninfected/C100P61ThinF_162.png")


@pytest.mark.parametrize("name", ["parasitized/C1_cell_1.png", "C1_cell_1.png", "cells/C1_cell_1.png"])
def test_a_folder_that_is_no_class_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: not in a folder named Uninfected or Parasitized"):
        label(name)
