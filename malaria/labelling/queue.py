"""Which cell to label next: alternately one that teaches the model most, and a random one, which measures it."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans

from malaria.evaluation.calibration import certainty
from malaria.evaluation.metrics import Array
from malaria.labelling.labels import Chosen

MOST = 3000  # cells that are clustered, which takes about a second


@dataclass(frozen=True)
class Choice:
    """The next cells to label, by name and how each was chosen, and labelled cells that now count as random."""

    cells: list[tuple[str, Chosen]]
    also_random: list[str]


def choose_next(
    names: Sequence[str],
    probability: Array,
    threshold: float,
    features: Array,
    labelled: Mapping[str, str],
    n: int,
    seed: int,
    missing: int | None = None,
) -> Choice:
    """Choose up to n cells without a label, alternately active and random ones, the same for the same arguments.

    Label them in this order, and only then choose again.

    Args:
        names: of N cells, unique.
        probability: (N,) that each is parasitized.
        threshold: from which probability on a cell is predicted parasitized.
        features: (N, D) of the network, before its last layer.
        labelled: how each labelled cell was chosen, by name.
        n: how many cells to choose.
        seed: of the random order and the clusters.
        missing: a class, 0 or 1, of which there are too few labels; the active cells are then most surely of it.
    """
    order = random_order(names, seed)
    row = {name: number for number, name in enumerate(names)}
    unlabelled = [name for name in order if name not in labelled]
    random, rest = unlabelled[: (n + 1) // 2], unlabelled[(n + 1) // 2 :]
    rows = np.array([row[name] for name in rest[:MOST]], int)  # a random sample, if there are more
    if missing is None:
        found = choose_actively(certainty(probability[rows], threshold), features[rows], n // 2, seed)
    else:
        found = np.argsort(-probability[rows] if missing else probability[rows], kind="stable")[: n // 2]
    active = [names[number] for number in rows[found]]
    return Choice(list(_alternate(active, random)), reached_at_random(names, labelled, seed))


def choose_actively(certain: Array, features: Array, n: int, seed: int) -> npt.NDArray[np.int64]:
    """The rows of the least certain cell of each of n clusters: (n,), fewer where there are not as many features.

    The clusters, by k-means, keep the cells from being all of one kind. `certain` is (N,), `features` (N, D).
    """
    if min(n, len(certain)) == 0:
        return np.zeros(0, np.int64)
    clusters = KMeans(min(n, len(certain)), n_init=1, random_state=seed).fit_predict(features)
    order = np.argsort(certain)
    _, firsts = np.unique(clusters[order], return_index=True)
    return order[firsts]


def random_order(names: Sequence[str], seed: int) -> list[str]:
    """The names in the order of a hash.

    Unlike a shuffle it stays, in another session and when the cells of more photographs come in between.
    """
    return sorted(names, key=lambda name: hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest())


def reached_at_random(names: Sequence[str], labelled: Mapping[str, str], seed: int) -> list[str]:
    """The cells labelled for another reason that the random draw has come to, and that now count as random.

    `choose_next` returns them too; after each label, they keep the accuracy so far up to date. The arguments are its.
    """
    # The random sample is the beginning of the random order. A cell there that was labelled already, mostly for being
    # uncertain, is not drawn again, but belongs to the sample: without such cells it would have too few uncertain ones,
    # and the accuracy on it would be too high.
    begun = takewhile(labelled.__contains__, random_order(names, seed))
    return [name for name in begun if labelled[name] != "random"]


def _alternate(active: list[str], random: list[str]) -> Iterator[tuple[str, Chosen]]:
    for one, other in zip_longest(active, random):
        if one is not None:
            yield one, "active"
        if other is not None:
            yield other, "random"
