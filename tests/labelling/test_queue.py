"""Active cells are uncertain ones of all kinds; the random ones are a fair sample, in spite of them and of restarts."""

import numpy as np
import pytest

from malaria.labelling.queue import Choice, choose_actively, choose_next, reached_at_random

RANDOM = np.random.default_rng(0)
NAMES = [f"{photo}/{n:04}.png" for photo in "AB" for n in range(100)]
PROBABILITY = RANDOM.uniform(size=200)
FEATURES = RANDOM.normal(size=(200, 2))


def choose(labelled: dict[str, str], n: int, cells: int = 200, seed: int = 0) -> Choice:
    """Of the first cells."""
    return choose_next(NAMES[:cells], PROBABILITY[:cells], 0.5, FEATURES[:cells], labelled, n, seed)


def label(rounds: int, n: int, cells: int = 200, seed: int = 0) -> tuple[list[str], list[str]]:
    """The cells that count as random after labelling n cells time and again, and those of them that were drawn."""
    labelled: dict[str, str] = {}
    drawn: list[str] = []
    for _ in range(rounds):
        choice = choose(labelled, n, cells, seed)
        labelled |= dict(choice.cells)
        labelled |= dict.fromkeys(reached_at_random(NAMES[:cells], labelled, seed), "random")
        drawn += [name for name, chosen in choice.cells if chosen == "random"]
    return [name for name, chosen in labelled.items() if chosen == "random"], drawn


def random_order(cells: int = 200) -> list[str]:
    """All cells, as they are drawn one at a time."""
    return label(cells, 1, cells)[1]


def test_active_and_random_cells_alternate_and_none_comes_twice_or_has_a_label() -> None:
    labelled = dict(choose({}, 10).cells)
    choice = choose(labelled, 10)
    assert [chosen for _, chosen in choice.cells] == ["active", "random"] * 5
    assert len({name for name, _ in choice.cells} - set(labelled)) == 10


@pytest.mark.parametrize("missing", [0, 1])
def test_active_cells_are_most_surely_of_a_class_without_labels(missing: int) -> None:
    choice = choose_next(NAMES, PROBABILITY, 0.5, FEATURES, {}, 10, 0, missing)
    active = [PROBABILITY[NAMES.index(name)] for name, chosen in choice.cells if chosen == "active"]
    assert len(active) == 5
    assert min(active) > 0.9 if missing else max(active) < 0.1


def test_an_active_cell_is_the_least_certain_of_a_cluster() -> None:
    kind = np.arange(200) % 3
    certain = PROBABILITY + kind  # the least certain of all cells are of one kind
    chosen = choose_actively(certain, 100 * np.eye(3)[kind], 3, seed=0)
    assert sorted(chosen) == sorted(int(np.argmin(certain + 9 * (kind != one))) for one in range(3))


def test_cells_with_the_same_features_are_of_one_cluster() -> None:
    chosen = choose_actively(np.array([2.0, 1.0, 3.0]), np.array([[0.0], [0.0], [9.0]]), 2, seed=0)
    assert sorted(chosen) == [1, 2]


@pytest.mark.parametrize("threshold", [0.1, 0.9])
def test_certainty_is_the_distance_from_the_threshold(threshold: float) -> None:
    probability = np.full(200, 0.5)
    probability[7] = threshold
    choice = choose_next(NAMES, probability, threshold, np.ones((200, 1)), {}, 2, seed=0)
    assert choice.cells[0] == (NAMES[7], "active")


def test_the_same_arguments_give_the_same_cells_and_another_seed_others() -> None:
    assert choose({}, 20) == choose({}, 20)
    assert choose({}, 20).cells[1::2] != choose({}, 20, seed=1).cells[1::2]


def test_the_random_order_is_the_same_when_more_photographs_come_in() -> None:
    first = random_order(cells=100)
    assert first != NAMES[:100]
    assert [name for name in random_order() if name in first] == first


def test_the_random_sample_has_its_share_of_the_uncertain_cells_though_many_are_labelled_for_being_so() -> None:
    uncertain = {name for name, value in zip(NAMES, PROBABILITY, strict=True) if abs(value - 0.5) < 0.2}
    sessions = [label(4, 20, seed=seed) for seed in range(8)]
    share, of_drawn = (np.mean([name in uncertain for one in sessions for name in one[way]]) for way in (0, 1))
    truth = len(uncertain) / len(NAMES)
    assert share == pytest.approx(truth, abs=0.04)
    assert of_drawn < truth - 0.05  # without the cells that were marked it would be biased


def test_a_labelled_cell_counts_as_random_once_all_before_it_are_labelled() -> None:
    first, second, third, fourth, *_ = random_order()
    labelled = {second: "active", fourth: "clicked"}
    assert choose(labelled, 1).also_random == []
    assert choose(labelled | {first: "random"}, 1).also_random == [second]
    assert choose(labelled | {first: "random", second: "random", third: "random"}, 1).also_random == [fourth]


def test_every_cell_is_chosen_once_and_then_none() -> None:
    choice = choose({}, 10_000, cells=7)
    assert sorted(name for name, _ in choice.cells) == NAMES[:7]
    assert choose(dict(choice.cells), 10, cells=7).cells == []


def test_one_cell_at_a_time_is_a_random_one() -> None:
    assert [chosen for _, chosen in choose({}, 1).cells] == ["random"]
