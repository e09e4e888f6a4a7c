"""Laboratories: how the blood smears and photographs of each look, as plain data."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from malaria.sources.drawing.arithmetic import Floats, Range, between, generator
from malaria.sources.drawing.cells import Form, Look

NATIVE = 62.0  # px: the radius of a cell at NLM's magnification, for which the sizes in cells.py are

Colour = tuple[int, int, int]


class Stain(NamedTuple):
    """The colours of one preparation, RGB, 0 to 255."""

    cell: Colour
    ink: Colour  # of parasites, nuclei and specks
    background: Colour


@dataclass(frozen=True)
class Lab:
    """What the photographs of a laboratory share. Replace what you will: `dataclasses.replace(HOME, radius=20)`."""

    stains: tuple[Stain, ...]  # a patient's is a mixture of two
    radius: float  # of the mean red cell, px
    density: float  # the part of the field that cells cover
    clumping: float  # the part of cells that lie against or on another
    translucency: float  # how dark an overlap is, 0 to 1
    pallor: Range  # of the centre of a cell, from cell to cell: 0 none, 1 as light as the background
    hollow: Range  # the radius of the pale centre, relative to the cell's
    form: Form  # of outlines
    growth: float  # the size of parasites relative to NLM's, which are P. falciparum
    platelets: float  # a hundred red cells
    white_cells: float  # a hundred red cells
    specks: float  # of stain and dust, a hundred red cells
    blur: float  # sigma, relative to the radius
    noise: float  # grey levels
    contrast: float  # 1 leaves it
    vignetting: float  # relative loss of light in the corners
    gradient: float  # the most that light changes from the centre to an edge, relative
    round: bool  # a round field on black, as through an eyepiece; else the full frame


HOME = Lab(  # NLM: a smartphone at the eyepiece
    stains=(
        Stain((208, 118, 170), (134, 30, 122), (244, 192, 182)),
        Stain((206, 154, 152), (128, 28, 108), (221, 180, 166)),
        Stain((194, 132, 132), (104, 26, 98), (219, 181, 164)),
        Stain((160, 142, 148), (84, 28, 104), (220, 182, 168)),
    ),
    radius=60,
    density=0.38,
    clumping=0.3,
    translucency=0.45,
    pallor=(0, 1),
    hollow=(0.35, 0.62),
    form=Form(sizes=(0.82, 1.12), wobble=(0.05, 0.45), crenated=0.008, oval=0.16, uneven=0.14),
    growth=1,
    platelets=3,
    white_cells=0.6,
    specks=6,
    blur=0.022,
    noise=3,
    contrast=1,
    vignetting=0.06,
    gradient=0.04,
    round=True,
)

BLUE = Lab(  # a camera on the microscope: bluish-grey Giemsa, a larger magnification, cells with pale centres
    stains=(
        Stain((142, 148, 172), (72, 38, 122), (196, 206, 212)),
        Stain((154, 150, 178), (84, 36, 118), (206, 212, 214)),
    ),
    radius=84,
    density=0.42,
    clumping=0.35,
    translucency=0.6,
    pallor=(0.7, 1),
    hollow=(0.4, 0.62),
    form=Form(sizes=(0.82, 1.12), wobble=(0.04, 0.3), crenated=0.006, oval=0.16, uneven=0.14),
    growth=1.35,
    platelets=5,
    white_cells=0.8,
    specks=3,
    blur=0.03,
    noise=5,
    contrast=1,
    vignetting=0.12,
    gradient=0.08,
    round=False,
)

VIVID = Lab(  # small cells on a warm background, contrast raised by the camera's software
    stains=(
        Stain((150, 78, 92), (84, 22, 84), (226, 200, 150)),
        Stain((156, 92, 112), (90, 20, 92), (230, 206, 162)),
    ),
    radius=24,
    density=0.34,
    clumping=0.3,
    translucency=0.35,
    pallor=(0, 0.55),
    hollow=(0.25, 0.5),
    form=Form(sizes=(0.82, 1.12), wobble=(0.05, 0.4), crenated=0.016, oval=0.16, uneven=0.14),
    growth=1.1,
    platelets=6,
    white_cells=0.5,
    specks=8,
    blur=0.035,
    noise=4,
    contrast=1.35,
    vignetting=0.05,
    gradient=0.1,
    round=False,
)


def look_of(lab: Lab, seed: int, patient: int) -> Look:
    """What the cells of one of the laboratory's patients share, in px at NLM's magnification."""
    rng = generator(seed, 5, patient)
    one, other = (lab.stains[int(i)] for i in rng.integers(0, len(lab.stains), 2))
    part, bright = between(rng, 0, 0.5), between(rng, 0.96, 1.03)
    cell, ink, background = (
        bright * (np.array(a) + part * (np.array(b) - np.array(a)))[:, None, None]
        for a, b in zip(one, other, strict=True)
    )
    return Look(
        stain=cell + _shade(rng),
        ink=ink + _shade(rng),
        background=background,
        light=(0, 0),
        blur=0,
        noise=lab.noise,
        pallor=_pallor(rng, lab),
        radius=NATIVE,
        hollow=lab.hollow,
    )


def _shade(rng: np.random.Generator) -> Floats:
    return 12 * (rng.random((3, 1, 1)) - 0.5)


def _pallor(rng: np.random.Generator, lab: Lab) -> Range:
    """A patient's part of the laboratory's range: about half of it."""
    least, most = lab.pallor
    low = between(rng, least, (least + most) / 2)
    return low, between(rng, (low + most) / 2, most)
