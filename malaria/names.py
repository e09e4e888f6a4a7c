"""What the name of a cell's image says: its class, its patient and its smear.

A name is the image's place in data/cells.zip, `Parasitized/C100P61ThinF_IMG_20150918_144104_cell_162.png`: the
folder is the class, `C100` the patient, and all before `_cell_` the smear.
"""

import re
from pathlib import PurePosixPath

CLASSES = ("Uninfected", "Parasitized")  # a label is an index into this: the positive class is 1

_PATIENT = re.compile(r"C\d+(?=[A-Za-z_])")  # C100P61ThinF_, C37BP2_, C1_thinF_, C3thin_original_


def label(name: str) -> int:
    """The class of a cell: 0 for Uninfected, 1 for Parasitized.

    Raises:
        ValueError: the folder is no class.
    """
    folder = PurePosixPath(name).parent.name
    if folder not in CLASSES:
        raise ValueError(f"{name}: not in a folder named {' or '.join(CLASSES)}")
    return CLASSES.index(folder)


def patient(name: str) -> str:
    """The patient, as in `C47`: two names of one patient's (C47's, under two microscopes) give one answer.

    Raises:
        ValueError: the file name does not begin with C, a number and a letter or underscore.
    """
    match = _PATIENT.match(PurePosixPath(name).name)
    if not match:
        raise ValueError(f"{name}: no patient in the name; NLM's begin like C100P61ThinF_")
    return match.group()


def smear(name: str) -> str:
    """The smear and field of view: the file name up to `_cell_`.

    Raises:
        ValueError: there is no `_cell_` in it.
    """
    before, found, _ = PurePosixPath(name).name.rpartition("_cell_")
    if not found:
        raise ValueError(f"{name}: no smear in the name; NLM's end like _cell_162.png")
    return before
