"""The same commit elsewhere: data are the same bytes everywhere.

So are the weights and all that follows where torch computes with as many threads on the same kind of processor. With
another number of threads sums are rounded in another order: metrics then differ by TOLERANCE at most.
"""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.support.scratch import Repository, Scratch

TOLERANCE = 0.03  # of a metric; measured on these 240 cells: 0.0286, one cell of 35
DATA = ("data/cells.csv", "data/cells.zip", "data/cells.npy", "data/split.csv", "data/unsegmented.csv")
NOBODY = 65534
AS_NOBODY = (  # who may read all, since the interpreter may be in the home of the one who runs this
    f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --inh-caps=+dac_read_search"
    " --ambient-caps=+dac_read_search"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@dataclass(frozen=True)
class Place:
    """Environment variables, what stands before a command, the name of the folder, whether it is another user's."""

    variables: dict[str, str] = field(default_factory=dict)
    before: str = ""
    folder: str = "scratch"
    another_user: bool = False


TURKISH = {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}  # where the lower case of I is not i
NO_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
PLACES = [
    pytest.param(
        Place(TURKISH | {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7"}, "umask 077;", "Zellen ü 細胞"),
        id="another locale, time zone, seed of hashes, umask and path",
    ),
    pytest.param(Place(NO_LOCALE), id="no locale"),
    pytest.param(Place(before=AS_NOBODY, another_user=True), id="another user with a read-only home", marks=needs_root),
]
THREADS = [
    pytest.param(Place({"OMP_NUM_THREADS": "1"}), id="one thread"),
    pytest.param(Place({"OMP_NUM_THREADS": "4"}), id="four threads"),
    pytest.param(Place(before="taskset -c {core}"), id="one core"),
]


def run_in(place: Place, folder: Path) -> Repository:
    """The pipeline, run there."""
    locale = ["localedef", "-i", "tr_TR", "-f", "UTF-8", folder / "tr_TR.UTF-8"]
    subprocess.run(locale, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    scratch = Scratch(folder / place.folder, **place.variables, LOCPATH=str(folder))
    scratch.set_params({"source: nih ": "source: synthetic "})
    if place.another_user:
        for path in [scratch.path, *scratch.path.rglob("*")]:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        (scratch.path / "home").chmod(0o555)
    core = min(os.sched_getaffinity(0))
    assert "Traceback" not in scratch.run(f"{place.before.format(core=core)} dvc repro")
    return scratch


def sums(repository: Repository) -> dict[str, str]:
    """The MD5 of each artifact, as DVC has it."""
    lock = YAML(typ="safe", pure=True).load(repository.read("dvc.lock"))
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


@pytest.mark.exhaustive
@pytest.mark.parametrize("place", PLACES)
def test_every_artifact_is_the_same_bytes(place: Place, ran: Repository, tmp_path: Path) -> None:
    assert sums(run_in(place, tmp_path)) == sums(ran)
    assert sums(ran).keys() > set(DATA)


@pytest.mark.exhaustive
@pytest.mark.parametrize("place", THREADS)
def test_another_number_of_threads_changes_last_digits(place: Place, ran: Repository, tmp_path: Path) -> None:
    there = run_in(place, tmp_path)
    here_sums, there_sums = sums(ran), sums(there)
    assert [here_sums[path] for path in DATA] == [there_sums[path] for path in DATA]
    one, other = (pd.read_csv(it.path / "plots/metrics.csv", index_col="metric") for it in (ran, there))
    shares = one.index[one.test <= 1]  # not counts
    assert (one.test - other.test)[shares].abs().max() <= TOLERANCE
