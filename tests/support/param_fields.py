"""The keys of params.yaml, and values of each, from the schema: a new key is tested without being named."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML

from malaria.params import Fit, Mask, Params, Preprocess, Unsegmented, modules_in
from tests.support.scratch import ROOT

Tree = dict[str, Any]
Path = tuple[str, ...]
MODULES = {"train.arch": "architectures", "download.source": "sources"}


@dataclass(frozen=True)
class Key:
    """A key that has a value, and what the schema says of it."""

    path: Path
    field: FieldInfo

    @property
    def dotted(self) -> str:
        return ".".join(self.path)

    def bound(self, name: str) -> Any:
        """A constraint such as `ge`, or None."""
        return next((value for rule in self.field.metadata if (value := getattr(rule, name, None)) is not None), None)


def sections(model: type[BaseModel] = Params, path: Path = ()) -> Iterator[tuple[Path, type[BaseModel]]]:
    """Each section and its path, all of the file first."""
    yield path, model
    for name, field in model.model_fields.items():
        if _is_section(field.annotation):
            yield from sections(field.annotation, (*path, name))


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def keys() -> list[Key]:
    """All keys that have a value."""
    return [
        Key((*path, name), field)
        for path, model in sections()
        for name, field in model.model_fields.items()
        if not _is_section(field.annotation)
    ]


def read_tree() -> Tree:
    """The repository's own params.yaml, parsed."""
    tree: Tree = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    return tree


def changed(changes: dict[str, Any]) -> Tree:
    """The repository's params with other values, by dotted key."""
    tree = read_tree()
    for dotted, value in changes.items():
        path = tuple(dotted.split("."))
        section_of(tree, path)[path[-1]] = value
    return tree


def preprocess_params(
    size: int = 32, fit: Fit = "stretch", mask: Mask = "auto", unsegmented: Unsegmented = "drop"
) -> Preprocess:
    """A section `preprocess`."""
    return Preprocess(size=size, fit=fit, mask=mask, unsegmented=unsegmented)


def section_of(tree: Tree, path: Path) -> Tree:
    """The section that has a key."""
    for part in path[:-1]:
        tree = tree[part]
    return tree


def ends_of(section: str) -> dict[str, list[Any]]:
    """The `ends` of each key of a section, by its last name."""
    return {key.path[-1]: ends(key) for key in keys() if key.path[0] == section}


def ends(key: Key) -> list[Any]:
    """Every choice of a key, or the first and last value that its type and constraints accept."""
    kind = key.field.annotation
    if key.dotted in MODULES:
        return modules_in(MODULES[key.dotted])
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if kind is bool:
        return [False, True]
    if kind in (int, float):
        return [_end(key, "ge", "gt", 1), _end(key, "le", "lt", -1)]
    return []  # a path, names, or what may be null


def beyond(key: Key) -> list[Any]:
    """The first value on either side that a numeric key does not accept."""
    if key.field.annotation not in (int, float):
        return []
    low, high = ends(key)
    bounded = [(low, -1)] * (key.bound("ge") is not None or key.bound("gt") is not None)
    bounded += [(high, 1)] * (key.bound("le") is not None or key.bound("lt") is not None)
    return [_next(key, end, way) for end, way in bounded]


def _end(key: Key, inclusive: str, exclusive: str, inwards: int) -> Any:
    limit, outside = key.bound(inclusive), key.bound(exclusive)
    if outside is not None:
        return _next(key, outside, inwards)
    largest = sys.float_info.max if key.field.annotation is float else 2**63
    return key.field.annotation(-inwards * largest if limit is None else limit)  # type: ignore[misc]


def _next(key: Key, value: Any, way: int) -> Any:
    return value + way if key.field.annotation is int else math.nextafter(value, way * math.inf)
