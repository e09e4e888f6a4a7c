"""The packages of the library import one way, and each folder can be taken in at a glance."""

from pathlib import Path

import pytest

from tests.support.imports import closure, modules_imported, packages_imported
from tests.support.scratch import ROOT

ORDER = ["core", "params", "data", "smear", "sources", "architectures", "model", "evaluation"]
ORDER += ["report", "predict", "slide", "labelling", "lab", "app", "cli"]
PATHS = sorted(path.relative_to(ROOT) for path in ROOT.glob("malaria/**/*.py") if path.name != "__init__.py")
MODULES = [str(path) for path in PATHS]


def package(module: str) -> str:
    """The part of the library to which a module belongs: its folder under malaria/, or itself."""
    return Path(module).with_suffix("").parts[1]


@pytest.mark.parametrize("name", ORDER)
def test_a_package_imports_from_itself_and_from_those_before_it_alone(name: str) -> None:
    allowed = ORDER[: ORDER.index(name) + 1]
    modules = [module for module in MODULES if package(module) == name]
    assert modules
    wrong = {
        f"{module} imports {other}"
        for module in modules
        for other in modules_imported(module)
        if not other.startswith("malaria/") or package(other) not in allowed
    }
    assert not wrong


def test_every_module_belongs_to_one_of_these_packages() -> None:
    assert {package(module) for module in MODULES} <= set(ORDER)


def test_no_module_is_among_those_that_it_leads_to() -> None:
    assert [module for module in MODULES if module in closure(modules_imported(module))] == []


def test_dvc_is_known_to_one_module_of_the_library_and_dvclive_to_none() -> None:
    importing = {name: [it for it in MODULES if name in packages_imported(it)] for name in ("dvc", "dvclive")}
    assert importing == {"dvc": ["malaria/core/repository.py"], "dvclive": []}


def test_no_folder_has_more_than_a_dozen_modules() -> None:
    folders = [path.parent for path in PATHS] + [path.parent for path in ROOT.glob("stages/[!_]*.py")]
    assert {folder for folder in folders if folders.count(folder) > 12} == set()
