"""A patient of a laboratory has a look of their own within the laboratory's."""

import numpy as np
import pytest

from malaria.sources.drawing.labs import BLUE, HOME, VIVID, Lab, look_of


@pytest.mark.parametrize("lab", [HOME, BLUE, VIVID], ids=["home", "blue", "vivid"])
def test_patients_differ_within_what_the_laboratory_has(lab: Lab) -> None:
    looks = [look_of(lab, seed=0, patient=patient) for patient in range(30)]
    assert len({look.stain.tobytes() for look in looks}) == 30
    for part, values in (
        ("stain", [it.cell for it in lab.stains]),
        ("background", [it.background for it in lab.stains]),
    ):
        colours = np.array([getattr(look, part).ravel() for look in looks])
        assert np.all(colours >= 0.95 * np.min(values, axis=0) - 6)
        assert np.all(colours <= 1.04 * np.max(values, axis=0) + 6)
    assert all(lab.pallor[0] <= look.pallor[0] <= look.pallor[1] <= lab.pallor[1] for look in looks)


def test_a_seed_gives_a_patients_look() -> None:
    first, again, other = (look_of(HOME, seed, 3) for seed in (0, 0, 1))
    assert np.array_equal(first.stain, again.stain)
    assert not np.array_equal(first.stain, other.stain)
