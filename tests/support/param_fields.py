"""The keys of params.yaml as the schema has them, and values of each: a new key is tested without being named."""

import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML

from malaria.params import Params
from tests.support.scratch import ROOT

Tree = dict[str, Any]
Path = tuple[str, ...]


@dataclass(frozen=True)
class Key:
    """A key that has a value: where it stands, and what the schema says of it."""

    path: Path
    field: FieldInfo

    @property
    def dotted(self) -> str:
        return ".".join(self.path)

    def bound(self, *names: str) -> Any:
        """What the constraints say, as `ge` or `gt`; None where they say nothing."""
        given = [getattr(rule, name, None) for rule in self.field.metadata for name in names]
        return next((value for value in given if value is not None), None)


def sections(model: type[BaseModel] = Params, path: Path = ()) -> Iterator[tuple[Path, type[BaseModel]]]:
    """Each section and where it stands, the whole file first."""
    yield path, model
    for name, field in model.model_fields.items():
        if is_section(field.annotation):
            yield from sections(field.annotation, (*path, name))


def is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def keys() -> list[Key]:
    """All keys that have a value."""
    return [
        Key((*path, name), field)
        for path, model in sections()
        for name, field in model.model_fields.items()
        if not is_section(field.annotation)
    ]


def read_tree() -> Tree:
    """The repository's own params.yaml, parsed."""
    tree: Tree = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    return tree


def to_yaml(value: Any) -> str:
    """As YAML, in braces and quotes: ruamel does not read all that it writes (a key `:0`)."""
    match value:
        case dict():
            return "{" + ", ".join(f"{to_yaml(key)}: {to_yaml(below)}" for key, below in value.items()) + "}"
        case list():
            return f"[{', '.join(map(to_yaml, value))}]"
        case str():
            unsafe = "[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]"  # not printable to YAML, or a line's end
            return re.sub(unsafe, lambda it: f"\\u{ord(it[0]):04x}", json.dumps(value, ensure_ascii=False))
        case float() if not math.isfinite(value):
            return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}[repr(value)]
    return json.dumps(value)


def section_of(tree: Tree, path: Path) -> Tree:
    """The section in which a key stands."""
    for part in path[:-1]:
        tree = tree[part]
    return tree


def ends(key: Key) -> list[Any]:
    """Every choice of a key, or the first and last value that its type and constraints accept."""
    kind = key.field.annotation
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if kind is bool:
        return [False, True]
    if kind is int:
        return [_least(key, 1, -(2**63)), _greatest(key, 1, 2**63)]
    if kind is float:
        return [_least(key, 0.0, -sys.float_info.max), _greatest(key, 0.0, sys.float_info.max)]
    return []  # a path, or a sum: what is in it is tested by what reads it


def beyond(key: Key) -> list[Any]:
    """The first value on either side that a numeric key does not accept."""
    if key.field.annotation not in (int, float):
        return []
    step = (lambda value, way: value + way) if key.field.annotation is int else _next
    low, high = ends(key)
    bounded = (key.bound("ge", "gt"), key.bound("le", "lt"))
    return [step(end, way) for end, way, bound in zip((low, high), (-1, 1), bounded, strict=True) if bound is not None]


def _least(key: Key, step: int | float, otherwise: Any) -> Any:
    least, above = key.bound("ge"), key.bound("gt")
    if above is not None:
        return above + step if step else _next(above, 1)
    return otherwise if least is None else type(otherwise)(least)


def _greatest(key: Key, step: int | float, otherwise: Any) -> Any:
    most, below = key.bound("le"), key.bound("lt")
    if below is not None:
        return below - step if step else _next(below, -1)
    return otherwise if most is None else type(otherwise)(most)


def _next(value: float, way: int) -> float:
    return math.nextafter(value, way * math.inf)
