"""The packages that can change what the stages make are pinned in versions.txt, all of them in requirements.txt."""

import re
import sys
from importlib.metadata import version

from packaging.requirements import Requirement

from tests.support.scratch import ROOT

IMPORTANT, ALL = ((ROOT / name).read_text("utf-8").splitlines() for name in ("versions.txt", "requirements.txt"))
LIBRARY = {"numpy", "pandas", "pillow", "scikit-image", "scikit-learn", "scipy", "torch", "torchvision"}


def applying(lines: list[str]) -> dict[str, str]:
    """The exact version of each package that a file asks for on this platform and Python."""
    requirements = [Requirement(line) for line in lines]
    wanted = [it for it in requirements if it.marker is None or it.marker.evaluate()]
    assert all(str(it.specifier).startswith("==") for it in wanted)
    return {it.name: str(it.specifier).removeprefix("==") for it in wanted}


def test_the_versions_that_matter_are_those_installed() -> None:
    python, *packages = IMPORTANT
    assert python == f"python=={(ROOT / '.python-version').read_text().strip()}"
    assert python == f"python=={sys.version_info.major}.{sys.version_info.minor}"
    wanted = applying(packages)
    assert wanted.keys() == LIBRARY
    assert {name: version(name) for name in wanted} == wanted


def test_requirements_say_the_same() -> None:
    assert set(IMPORTANT[1:]) <= set(ALL)
    assert applying(ALL).keys() >= LIBRARY | {"dvc", "dvclive", "pytest", "onnx", "nicegui"}


def test_requirements_name_no_host() -> None:
    assert [line for line in ALL if re.search(r"://|@|^-", line)] == []
