"""A value of params.yaml is used to the last digit, or refused by the name of its key before any work.

The keys are those of the schema, so a new one is covered without being named here.
"""

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from malaria.data.splits import assign_splits
from malaria.params import NOTHING, Params, ParamsError, load_params
from malaria.sources.drawing.sets import plan
from malaria.sources.nih import make_index
from tests.support.param_fields import Key, beyond, changed, ends, keys, read_tree, section_of, sections
from tests.support.scratch import ROOT

TREE, TEXT = read_tree(), (ROOT / "params.yaml").read_bytes()
KEYS = {key.dotted: key for key in keys()}
SECTIONS = [path for path, _ in sections()]

WORDS = st.text(st.characters(max_codepoint=0xD7FF, exclude_characters="\x7f"), max_size=40)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**400), 10**400),
    st.floats(allow_nan=False, allow_infinity=False),
    WORDS,
    st.sampled_from(["", "10", "1e-5", "true", "null", "0.5", "../x", "\0", "\x1b[31m"]),
)
VALUES = st.recursive(
    SCALARS, lambda of: st.lists(of, max_size=3) | st.dictionaries(WORDS, of, max_size=3), max_leaves=5
)


def load(path: Path) -> Params | str:
    """The params, or the message if they are refused, which names the file."""
    try:
        return load_params(path)
    except ParamsError as refusal:
        message = str(refusal)
    assert message.startswith(f"{path}: ")
    return message


def used_or_refused(tree: Any, folder: Path) -> str:
    """The message if these params are refused; else nothing, and then the values are those of the file."""
    path = folder / "params.yaml"
    path.write_text(json.dumps(tree))  # which is YAML too
    loaded = load(path)
    if isinstance(loaded, str):
        return loaded
    assert loaded.model_dump() == tree
    for key in KEYS.values():  # True == 1
        assert isinstance(section_of(tree, key.path)[key.path[-1]], bool) == (key.field.annotation is bool)
    return ""


def repeat(check: Callable[..., Any], examples: int = 50, **strategies: st.SearchStrategy[Any]) -> None:
    """Hypothesis on a check."""
    many = settings(deadline=None, max_examples=examples, suppress_health_check=list(HealthCheck))
    many(given(**strategies)(check))()


def test_reading_the_params_takes_half_a_second_and_no_large_package() -> None:
    code = """
import sys, time
from malaria.params import load_params
load_params()
print(time.process_time() < 1, sorted({"torch", "pandas", "numpy", "sklearn", "matplotlib", "dvc"} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("True []\n", "")


def test_no_key_has_a_default_so_that_dvc_tracks_every_value() -> None:
    assert all(field.is_required() for _, section in sections() for field in section.model_fields.values())


@pytest.mark.parametrize("written", [b"1e-05", b"1e-5", b"1E-5", b"0.00001"])
def test_a_small_number_is_a_number_as_dvc_writes_it(written: bytes, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(TEXT.replace(b"lr: 6e-3", b"lr: " + written))
    assert load_params(tmp_path / "params.yaml").train.lr == 1e-5


def test_any_value_of_any_type_is_used_as_it_is_or_refused_by_name(tmp_path: Path) -> None:
    def check(dotted: str, value: Any) -> None:
        message = used_or_refused(changed({dotted: value}), tmp_path)
        assert not message or dotted in message

    repeat(check, 100, dotted=st.sampled_from(list(KEYS)), value=VALUES)


@pytest.mark.parametrize("dotted", KEYS)
def test_a_bad_value_and_a_missing_key_are_refused_by_name(dotted: str, tmp_path: Path) -> None:
    bad = [*beyond(KEYS[dotted]), {"a": 1}, ["b"]]
    bad += [""] if is_text(KEYS[dotted]) else ["resnet99", "1"]
    bad.remove(["b"]) if dotted == "split.test_patients" else None  # any names will do
    for value in bad:
        message = used_or_refused(changed({dotted: value}), tmp_path)
        assert f"  {dotted}: " in message
        assert isinstance(value, dict) or f"(it is {value!r})" in message
    tree = copy.deepcopy(TREE)
    del section_of(tree, KEYS[dotted].path)[KEYS[dotted].path[-1]]
    assert f"  {dotted}: " in used_or_refused(tree, tmp_path)


def test_a_float_that_is_not_finite_is_refused_by_name(tmp_path: Path) -> None:
    for written in (b".inf", b"-.inf", b".nan"):
        (tmp_path / "params.yaml").write_bytes(TEXT.replace(b"lr: 6e-3", b"lr: " + written))
        with pytest.raises(ParamsError, match=r"train\.lr"):
            load_params(tmp_path / "params.yaml")


def is_text(key: Key) -> bool:
    """Whether any text but none is accepted: it is a path."""
    return key.field.annotation is str and key.bound("min_length") == 1


def likely(key: Key) -> st.SearchStrategy[Any]:
    """Values of the right type about a key's range, its ends among them."""
    if key.field.annotation is int:
        return st.sampled_from(ends(key) + beyond(key)) | st.integers(0, 200)
    if key.field.annotation is float:
        return st.sampled_from(ends(key) + beyond(key)) | st.floats(0, 1)
    return st.sampled_from([*ends(key), "resnet50", "0" * 64, "imagenet", None, ["a", "b"], ["a", "a"], NOTHING])


def test_values_that_may_contradict_each_other_are_used_or_refused_by_name(tmp_path: Path) -> None:
    def check(values: dict[str, Any]) -> None:
        message = used_or_refused(changed(values), tmp_path)
        assert not message or any(dotted in message for dotted in values)

    repeat(check, values=st.fixed_dictionaries({}, optional={name: likely(key) for name, key in KEYS.items()}))


DRAWN = {"download.source": "synthetic"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"split.fold": 5}, ["split.fold=5", "split.folds=5"]),
        ({"train.freeze": 1}, ["train.freeze", "train.init"]),
        ({"train.weights": "imagenet", "train.freeze": 24}, ["train.freeze=24", "train.epochs=24"]),
        ({"train.weights": "imagenet", "train.init": "a.pth"}, ["train.weights=imagenet", "train.init=a.pth"]),
        ({"download.source": "own"}, ["download.source=own", "download.path"]),
        ({"download.classes": ["a", "a"]}, ["download.classes"]),
        ({"download.synthetic.cells": 159}, ["download.synthetic.cells=159", "download.synthetic.patients=40"]),
        (DRAWN | {"split.folds": 31}, ["split.folds=31", "download.synthetic.patients=40"]),
        (DRAWN | {"split.val": 0.033}, ["split.val=0.033", "download.synthetic.patients=40"]),
        (
            DRAWN | {"split.by": "cell", "download.synthetic.cells": 190, "split.folds": 96},
            ["split.folds=96", "download.synthetic.cells=190"],
        ),
    ],
)
def test_a_contradiction_is_told_by_its_keys(changes: dict[str, Any], named: list[str], tmp_path: Path) -> None:
    message = used_or_refused(changed(changes), tmp_path)
    assert all(name in message for name in named)


@pytest.mark.parametrize(
    "changes",
    [
        {"download.sha256": None},
        {"download.source": "own", "download.path": "cells/labels.csv", "download.classes": ["0", "1"]},
        {"train.init": "models", "train.freeze": 1},
        {"train.weights": "imagenet", "train.arch": "resnet18", "train.freeze": 1},
        {"preprocess.mask": "none", "preprocess.unsegmented": "keep"},
    ],
    ids=str,
)
def test_values_that_fit_each_other_are_used(changes: dict[str, Any], tmp_path: Path) -> None:
    assert used_or_refused(changed(changes), tmp_path) == ""


def test_all_complaints_are_made_at_once(tmp_path: Path) -> None:
    tree = changed({"split.fold": 5, "download.synthetic.cells": 100, "preprocess.size": None})
    tree["train"]["epoch"] = tree["train"].pop("epochs")
    message = used_or_refused(tree, tmp_path)
    for named in (
        "split.fold=5",
        "download.synthetic.cells=100",
        "preprocess.size: ",
        "train.epoch: ",
        "train.epochs: ",
    ):
        assert f"  {named}" in message


@settings(deadline=None, max_examples=40)
@given(
    by=st.sampled_from(["patient", "cell"]),
    patients=st.integers(10, 25),
    cells=st.integers(100, 160),
    folds=st.integers(2, 100),
    val=st.floats(0.01, 0.5),
)
@example(by="patient", patients=10, cells=100, folds=8, val=0.5)
@example(by="patient", patients=10, cells=100, folds=9, val=0.5)
@example(by="patient", patients=10, cells=100, folds=2, val=0.143)
@example(by="patient", patients=10, cells=100, folds=2, val=0.125)
@example(by="cell", patients=10, cells=100, folds=50, val=0.021)
@example(by="cell", patients=10, cells=100, folds=50, val=0.02)
def test_drawn_cells_are_refused_only_where_they_cannot_be_split(
    by: str, patients: int, cells: int, folds: int, val: float
) -> None:
    tree = changed(DRAWN | {"split.by": by, "split.folds": folds, "split.fold": 0, "split.val": val})
    tree["download"]["synthetic"] = {"patients": patients, "cells": cells}
    index = make_index(cell.name for cell in plan(patients, cells, seed=0))
    try:
        params = Params.model_validate(tree).split
    except ValidationError:
        refused = True
        tree["download"]["source"] = "nih"
        params = Params.model_validate(tree).split
    else:
        refused = False
    if refused:
        with pytest.raises(ValueError, match=r"split\."):
            assign_splits(index, params)


def test_an_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    def check(section: tuple[str, ...], name: str, value: Any) -> None:
        tree = copy.deepcopy(TREE)
        if name in (of := section_of(tree, (*section, name))):
            return
        of[name] = value
        shown = name if name.isprintable() and name else repr(name)
        assert f"  {'.'.join([*section, shown])}: " in used_or_refused(tree, tmp_path)

    names = WORDS | st.sampled_from(["", "epoch", "a\nb", "\x1b[2J", "größe", "細胞", "\u202e"])
    repeat(check, section=st.sampled_from(SECTIONS), name=names, value=VALUES)


@pytest.mark.parametrize("section", SECTIONS[1:], ids=".".join)
def test_a_section_that_is_missing_or_something_else_is_refused_by_name(
    section: tuple[str, ...], tmp_path: Path
) -> None:
    for value in (None, [], 3, "a", {}):
        assert f"  {'.'.join(section)}" in used_or_refused(changed({".".join(section): value}), tmp_path)
    tree = copy.deepcopy(TREE)
    del section_of(tree, section)[section[-1]]
    assert f"  {'.'.join(section)}: " in used_or_refused(tree, tmp_path)


ODD = {  # what YAML itself, or Python, fails on
    "an impossible date": b"2026-99-99",
    "a number of 5000 digits": b"9" * 5000,
    "a number of 5000 hexadecimal digits": b"0x" + b"f" * 5000,
    "a tag that would run code": b"!!python/object/apply:os.system [touch sprung]",
    "a tag that does not fit": b"!!int abc",
    "not UTF-8": b"\xff\xfe\xfa",
    "a NUL": b"\0",
    "100,000 brackets": b"[" * 100_000,
    "a key twice": b"1\n  epochs: 2",
    "a value within itself": b"&a [*a]",
    "an alias of nothing": b"*nothing",
    "lists that would be 10^9 long": b"[" + b", ".join(
        [b"&a0 [x]", *(b"&a%d [%s]" % (n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 10))]
    ) + b"]",
    "two documents": b"1\n---\na: 1",
    "bytes": b"!!binary aGVsbG8=",
    "a merge": b"{<<: 3}",
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_yaml_is_refused_in_a_short_message(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes(TEXT.replace(b" epochs: 24 ", b" epochs: " + ODD[name] + b" "))
    with pytest.raises(ParamsError, match=r"^params\.yaml: ") as refused:
        load_params()
    assert len(str(refused.value)) < 1500
    assert not Path("sprung").exists()


def test_a_file_with_any_damage_is_params_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"

    def check(at: int, length: int, other: bytes) -> None:
        path.write_bytes(TEXT[:at] + other + TEXT[at + length :])
        load(path)

    noise = st.binary(max_size=20) | WORDS.map(str.encode)
    repeat(check, at=st.integers(0, len(TEXT)), length=st.integers(0, 60), other=noise)
    for whole in (b"", b"[]", b"42"):
        path.write_bytes(whole)
        with pytest.raises(ParamsError, match=r"params\.yaml: "):
            load_params(path)


@pytest.mark.parametrize("problem", ["a folder", "no file", "no permission"])
def test_a_file_that_cannot_be_read_is_named(problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    if problem == "a folder":
        (tmp_path / "params.yaml").mkdir()
    elif problem == "no permission":
        monkeypatch.setattr(Path, "open", refuse)  # root, who may run this, may read all
    with pytest.raises(ParamsError, match=re.escape(f"{tmp_path / 'params.yaml'}: ")):
        load_params(tmp_path / "params.yaml")
