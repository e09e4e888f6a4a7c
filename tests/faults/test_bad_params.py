"""Bad params.

Whatever stands in params.yaml, it is either what is then used, to the last digit, or refused by the name of its key
before any work. The keys are those of the schema, so a new one is covered without being named here.
"""

import copy
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from malaria.data.sources.synthetic import plan
from malaria.data.splits import assign_splits, describe_cells
from malaria.model.network import ARCHITECTURES
from malaria.params import PRETRAINED, Params, ParamsError, load_params
from tests.support.fault_table import Survived
from tests.support.param_fields import Key, Tree, beyond, ends, keys, read_tree, section_of, sections, to_yaml
from tests.support.scratch import ROOT

TREE = read_tree()
KEYS = keys()
SECTIONS = [path for path, _ in sections()]
STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if "load_params" in path.read_text("utf-8"))

many = settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
TEXT = st.text(max_size=40)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    TEXT,
    st.sampled_from(["", "10", "1e-5", "true", "null", "0.5", "../x", "\0", "\x1b[31m"]),
)
VALUES = st.recursive(
    SCALARS, lambda of: st.lists(of, max_size=3) | st.dictionaries(TEXT, of, max_size=3), max_leaves=5
)


def set_to(key: Key, value: Any, tree: Tree = TREE) -> Tree:
    """The params with another value."""
    changed = copy.deepcopy(tree)
    section_of(changed, key.path)[key.path[-1]] = value
    return changed


def likely(key: Key) -> st.SearchStrategy[Any]:
    """Values of the right type about a key's range, its ends among them."""
    if key.field.annotation is int:
        return st.sampled_from(ends(key) + beyond(key)) | st.integers(0, 200) | st.integers()
    if key.field.annotation is float:
        return st.sampled_from(ends(key) + beyond(key)) | st.floats(0, 1) | st.floats()
    return st.sampled_from([*ends(key), "resnet50", "0" * 64])


def read(tree: Any, folder: Path) -> Params:
    """What load_params makes of a file of this."""
    (folder / "params.yaml").write_text(to_yaml(tree), "utf-8")
    return load_params(folder / "params.yaml")


def used_or_refused(tree: Any, folder: Path) -> str:
    """The message of the refusal; or nothing, and then the values are those of the file."""
    try:
        params = read(tree, folder)
    except ParamsError as refusal:
        message = str(refusal)
    else:
        check_same(params, tree)
        return ""
    assert message.startswith(f"{folder / 'params.yaml'}: cannot be used, nothing was run:\n  ")
    return message


def check_same(params: Params, tree: Tree) -> None:
    """No value was changed, and none taken for another type's."""
    assert params.model_dump() == tree
    for key in KEYS:
        value = section_of(tree, key.path)[key.path[-1]]
        assert isinstance(value, bool) == (key.field.annotation is bool), key


def repeat(check: Callable[..., str], **strategies: st.SearchStrategy[Any]) -> list[str]:
    """Hypothesis on a check that says what was refused; all that it said."""
    said: list[str] = []

    @many
    @given(**strategies)
    def once(**drawn: Any) -> None:
        said.append(check(**drawn))

    once()
    return said


def shortest(said: list[str]) -> str:
    """One of the refusals, without the line that names the file."""
    return min(filter(None, said), key=len).split("\n  ", 1)[1]


def test_any_value_of_any_type_is_used_as_it_is_or_refused_by_name(tmp_path: Path, survived: Survived) -> None:
    def check(key: Key, value: Any) -> str:
        message = used_or_refused(set_to(key, value), tmp_path)
        assert not message or f"{key.dotted}" in message
        return message

    said = repeat(check, key=st.sampled_from(KEYS), value=VALUES)
    assert sum(map(bool, said)) > len(said) / 2
    survived("a value of a wrong type", "any YAML value at any key (hypothesis)", shortest(said), tries=len(said))


def test_what_is_out_of_range_is_refused_by_name(tmp_path: Path, survived: Survived) -> None:
    cases = [(key, value) for key in KEYS for value in beyond(key)]
    for key, value in cases:
        message = used_or_refused(set_to(key, value), tmp_path)
        assert f"  {key.dotted}: " in message
        assert f"(it is {value!r})" in message
    assert len(cases) > 20
    survived("a value out of range", "the first number beyond each end of each key's range", message, tries=len(cases))


def test_several_values_that_may_contradict_are_used_or_refused_by_name(tmp_path: Path, survived: Survived) -> None:
    def check(values: dict[int, Any]) -> str:
        tree = TREE
        for number, value in values.items():
            tree = set_to(KEYS[number], value, tree)
        message = used_or_refused(tree, tmp_path)
        assert not message or any(KEYS[number].dotted in message for number in values)
        return message

    pairs = {number: likely(key) for number, key in enumerate(KEYS)}
    said = repeat(check, values=st.fixed_dictionaries({}, optional=pairs))
    message = "split.fold=5 is not one of split.folds=5: take 0 to 4"
    survived("values that contradict each other", "any of them together (hypothesis)", message, tries=len(said))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split.fold": 5}, "split.fold=5 is not one of split.folds=5: take 0 to 4"),
        (
            {"train.pretrained": True},
            "train.pretrained: there are no weights for train.arch=small_resnet; there are for",
        ),
        (
            {"train.weights": "a.pth"},
            "train.weights and train.freeze are of pretrained networks: take train.pretrained",
        ),
        (
            {"train.arch": "resnet18", "train.pretrained": True, "train.freeze": 24},
            "train.freeze=24 leaves none of train.ep",
        ),
        ({"train.devices": 3}, "train.batch_size=128 cannot be shared by train.devices=3: take a multiple"),
        ({"train.devices": 128}, "take a multiple, of two cells or more a device"),
        (
            {"download.synthetic.cells": 159},
            "download.synthetic.cells=159 are too few for download.synthetic.patients=40",
        ),
        (
            {"download.source": "synthetic", "split.folds": 31},
            "split.folds=31 are too many: of download.synthetic.patients=40 only 30 are parasitized",
        ),
        (
            {"download.source": "synthetic", "split.val": 0.033},
            "split.val=0.033 is too small: of download.synthetic.patients=40 at most 29 parasitized are left",
        ),
        (
            {"download.source": "synthetic", "split.by": "cell", "download.synthetic.cells": 190, "split.folds": 96},
            "split.folds=96 are too many: of download.synthetic.cells=190 only 95 are parasitized",
        ),
    ],
)
def test_each_contradiction_is_told_by_both_its_keys(
    changes: dict[str, Any], message: str, tmp_path: Path, survived: Survived
) -> None:
    tree = TREE
    for key in KEYS:
        tree = set_to(key, changes[key.dotted], tree) if key.dotted in changes else tree
    said = used_or_refused(tree, tmp_path)
    assert message in said
    survived("a contradiction that would end a run halfway", "one a case", said.split("\n  ")[1])


def test_drawn_cells_are_refused_only_where_they_cannot_be_dealt(survived: Survived) -> None:
    """What the schema refuses the split would too: it knows how many are drawn, and how many parts val makes."""

    @settings(deadline=None, max_examples=60)
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
    def agree(by: str, patients: int, cells: int, folds: int, val: float) -> None:
        tried.append(refuse_drawn(by, patients, cells, folds, val))
        table = describe_cells([cell.name for cell in plan(patients, cells, seed=0)])
        assert not (tried[-1] and can_be_split(table, by, folds, val))

    tried: list[str] = []
    agree()
    survived(
        "drawn cells that cannot be dealt into so many parts",
        "folds, val, patients and cells (hypothesis), each also split for real: nothing is refused that could be split",
        next(filter(None, tried)).split("\n  ")[1],
        tries=len(tried),
    )


def can_be_split(table: pd.DataFrame, by: str, folds: int, val: float) -> bool:
    """Whether it is; where not, it is said what to change."""
    try:
        assign_splits(table, by, folds, 0, val, 42)
    except ValueError as error:
        why = str(error)
    else:
        return True
    assert re.search("lower split.folds or raise split.val|take another split.seed, fold or val", why)
    return False


def refuse_drawn(by: str, patients: int, cells: int, folds: int, val: float) -> str:
    """What the schema says of drawing so many cells and splitting them like this."""
    tree = copy.deepcopy(TREE)
    tree["download"] |= {"source": "synthetic", "synthetic": {"patients": patients, "cells": cells, "seed": 0}}
    tree["split"] |= {"by": by, "folds": folds, "fold": 0, "val": val}
    try:
        Params.model_validate(tree)
    except ValueError as error:
        return str(error)
    return ""


def test_a_network_has_weights_where_the_schema_says_so() -> None:
    assert set(PRETRAINED) == {name for name, architecture in ARCHITECTURES.items() if architecture.imagenet}


def test_an_unknown_key_is_refused_by_name(tmp_path: Path, survived: Survived) -> None:
    def check(section: tuple[str, ...], name: str, value: Any) -> str:
        tree = copy.deepcopy(TREE)
        of = section_of(tree, (*section, name))
        if name in of:
            return ""
        of[name] = value
        message = used_or_refused(tree, tmp_path)
        shown = name if name.isprintable() and name else repr(name)
        assert f"  {'.'.join([*section, shown])}: Extra inputs are not permitted" in message
        return message

    names = TEXT | st.sampled_from(["", "epoch", "a\nb", "\x1b[2J", "größe", "細胞", "\u202e"])
    said = repeat(check, section=st.sampled_from(SECTIONS), name=names, value=VALUES)
    survived("an unknown key", "any name in any section (hypothesis)", shortest(said), tries=len(said))


def test_a_missing_key_or_section_is_refused_by_name(tmp_path: Path, survived: Survived) -> None:
    paths = [key.path for key in KEYS] + SECTIONS[1:]
    for path in paths:
        tree = copy.deepcopy(TREE)
        del section_of(tree, path)[path[-1]]
        message = used_or_refused(tree, tmp_path)
        assert f"  {'.'.join(path)}: Field required" in message
    survived("a missing key or section", "each of them in turn", shortest([message]), tries=len(paths))


def test_a_section_that_is_none_is_refused_by_name(tmp_path: Path, survived: Survived) -> None:
    def check(section: tuple[str, ...], value: Any) -> str:
        tree = copy.deepcopy(TREE)
        section_of(tree, section)[section[-1]] = value
        message = used_or_refused(tree, tmp_path)
        assert f"  {'.'.join(section)}" in message
        return message

    said = repeat(check, section=st.sampled_from(SECTIONS[1:]), value=VALUES)
    assert all(said)
    survived("something else in place of a section", "any YAML value (hypothesis)", shortest(said), tries=len(said))


ODD = {  # what YAML itself, or Python, stumbles over
    "a day that is none": b"2026-99-99",
    "a number of 5000 digits": b"9" * 5000,
    "a number of 5000 hexadecimal digits": b"0x" + b"f" * 5000,
    "a tag that would run code": b"!!python/object/apply:os.system [touch sprung]",
    "a tag that does not fit": b"!!int abc",
    "no UTF-8": b"\xff\xfe\xfa",
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
def test_what_yaml_itself_stumbles_over_is_refused_in_words(name: str, tmp_path: Path, survived: Survived) -> None:
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_bytes()
    path.write_bytes(text.replace(b"epochs: 24 ", b"epochs: " + ODD[name] + b" "))
    with pytest.raises(ParamsError) as refused:
        load_params(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert len(message) < 1500
    assert not Path("sprung").exists()
    survived("a value that YAML itself stumbles over", "one a case", message.replace(str(path), "params.yaml"))


def test_any_file_is_params_or_refused(tmp_path: Path, survived: Survived) -> None:
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_bytes()

    def check(at: int, length: int, other: bytes) -> str:
        path.write_bytes(text[:at] + other + text[at + length :])
        try:
            load_params(path)
        except ParamsError as refusal:
            return str(refusal).replace(str(path), "params.yaml")
        return ""

    noise = st.binary(max_size=20) | TEXT.map(str.encode)
    said = repeat(check, at=st.integers(0, len(text)), length=st.integers(0, 60), other=noise)
    message = min(filter(None, said), key=len)
    survived("a damaged file", "any piece of it replaced by any bytes (hypothesis)", message, tries=len(said))


@pytest.mark.parametrize("trouble", ["a folder", "no file", "not to be read"])
def test_a_file_that_cannot_be_read_is_named(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: Survived
) -> None:
    path = tmp_path / "params.yaml"
    if trouble == "a folder":
        path.mkdir()
    elif trouble == "not to be read":

        def refuse(*_: Any, **__: Any) -> None:
            raise PermissionError(13, "Permission denied")

        path.touch()
        monkeypatch.setattr(Path, "open", refuse)  # root, who may run this, may read all
    with pytest.raises(ParamsError) as refused:
        load_params(path)
    assert str(refused.value).startswith(f"{path}: ")
    survived(
        "params.yaml cannot be read",
        "a folder, nothing, or no right to",
        f"params.yaml{str(refused.value)[len(str(path)) :]}",
    )


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_refuses_them_in_two_seconds_before_any_work(
    stage: str, tmp_path: Path, survived: Survived
) -> None:
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("epochs: ", "epochs: abc # "))
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        f"from stages.{stage} import main\n"
        "try: main()\n"
        "finally: print({'torch', 'sklearn', 'matplotlib'} & set(sys.modules))"
    )
    seconds = []
    for _ in range(2):  # a first one may have to compile, or wait for others
        begin = time.monotonic()
        run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        seconds.append(time.monotonic() - begin)
        assert run.returncode == 1
        assert run.stdout == "set()\n"
        assert run.stderr.splitlines()[1] == "  train.epochs: Input should be a valid integer (it is 'abc')"
    assert min(seconds) < 2
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
    survived("a bad value in a run", "`python -m stages.<each>` with epochs: abc, twice", run.stderr, tries=2)
