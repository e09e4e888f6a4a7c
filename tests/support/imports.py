"""Which modules of this repository a module imports, directly or through others, at its top or in a function.

`uv run python tests/closure.py` writes into dvc.yaml which of them each stage depends on.
"""

import ast
from pathlib import Path

from ruamel.yaml import YAML

NO_DEPENDENCIES = {
    "malaria/params.py",  # accepts or refuses values that DVC tracks under `params:`, and makes nothing
    "malaria/__init__.py",  # hands on what users of the library ask for, which no stage does
}


def imports_of(path: Path, root: Path) -> set[Path]:
    """The files in root that one module names in its imports, the packages they lie in included."""
    wanted = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            wanted |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            wanted |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {file for name in wanted for file in _files(name, root)}


def _files(name: str, root: Path) -> set[Path]:
    """The module's file and the __init__.py of each package on the way to it, as far as they are in root."""
    parts = name.split(".")
    candidates = {root.joinpath(*parts).with_suffix(".py")}
    candidates |= {root.joinpath(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)}
    return {path for path in candidates if path.is_file()}


def closure(start: Path, root: Path) -> set[str]:
    """The files, relative to root, that importing `start` may run: neither the schema nor mere docstrings."""
    exempt = {root / name for name in NO_DEPENDENCIES}
    found, new = set(), {start, start.parent / "__init__.py"} - exempt
    while new:
        found |= new
        new = set().union(*(imports_of(path, root) for path in new)) - found - exempt
    return {str(path.relative_to(root)) for path in found if _has_code(path)}


def _has_code(path: Path) -> bool:
    """Whether there is more to a module than its docstring."""
    tree = ast.parse(path.read_text("utf-8"))
    return len(tree.body) > bool(ast.get_docstring(tree))


def write_deps(root: Path) -> None:
    """Put the modules of each stage into dvc.yaml, in place of those that stand there; all else stays as it is."""
    round_trip = YAML(typ="rt")  # which keeps comments
    round_trip.width = 120
    round_trip.indent(mapping=2, sequence=4, offset=2)
    pipeline = round_trip.load(root / "dvc.yaml")
    for name, stage in pipeline["stages"].items():
        script = f"stages/{name}.py"
        others = [dep for dep in stage["deps"] if not dep.endswith(".py")]
        library = [dep for dep in others if dep.startswith("malaria/")]
        library += closure(root / script, root) - {script}
        stage["deps"][:] = [*(dep for dep in others if dep not in library), script, *sorted(library)]
    round_trip.dump(pipeline, root / "dvc.yaml")


if __name__ == "__main__":
    write_deps(Path(__file__).parent.parent)
