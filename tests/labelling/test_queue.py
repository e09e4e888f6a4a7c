"""Active cells are uncertain ones of all kinds; the random ones are a fair sample, in spite of them and of restarts."""

import numpy as np
import pytest

from malaria.labelling.queue import Choice, choose_actively, choose_next

RANDOM = np.random.default_rng(0)
NAMES = [f"{photo}/{n:04}.png" for photo in "AB" for n in range(300)]
PROBABILITY = RANDOM.uniform(size=600)
FEATURES = RANDOM.normal(size=(600, 8))


def choose(
    labelled: dict[str, str], n: int, cells: slice = slice(600), seed: int = 0, threshold: float = 0.5
) -> Choice:
    return choose_next(NAMES[cells], PROBABILITY[cells], threshold, FEATURES[cells], labelled, n, seed)


def label(rounds: int, n: int, cells: slice = slice(600), labelled: dict[str, str] | None = None) -> dict[str, str]:
    """How each cell was chosen after a session that chooses n cells time and again, and labels them all."""
    labelled = dict(labelled or {})
    for _ in range(rounds):
        choice = choose(labelled, n, cells)
        labelled |= dict(choice.cells) | dict.fromkeys(choice.also_random, "random")
    return labelled


def at_random(labelled: dict[str, str]) -> list[str]:
    return [name for name, chosen in labelled.items() if chosen == "random"]


def test_active_and_random_cells_alternate_and_none_comes_twice_or_has_a_label() -> None:
    labelled = label(2, 10)
    choice = choose(labelled, 10)
    assert [chosen for _, chosen in choice.cells] == ["active", "random"] * 5
    assert len({name for name, _ in choice.cells} - set(labelled)) == 10


def test_an_active_cell_is_the_least_certain_of_a_cluster() -> None:
    kind = np.repeat([0, 1, 2], 200)
    certain = PROBABILITY + kind  # the least certain cells of all are of one kind
    chosen = choose_actively(certain, 100 * np.eye(3)[kind] + FEATURES[:, :3], 3, seed=0)
    assert sorted(chosen) == [np.argmin(certain + 9 * (kind != one)) for one in range(3)]


def test_certainty_is_the_distance_from_the_threshold() -> None:
    alike = slice(0, 600)
    for threshold in (0.1, 0.9):
        probability = np.where(np.arange(600) < 2, threshold, 0.5)
        choice = choose_next(NAMES[alike], probability, threshold, np.ones((600, 2)) * 0.5, {}, 2, seed=0)
        assert choice.cells[0][0] in NAMES[:2]


def test_the_same_arguments_give_the_same_cells_and_another_seed_others() -> None:
    assert choose({}, 20) == choose({}, 20)
    assert not set(choose({}, 20).cells) & set(choose({}, 20, seed=1).cells[1::2])


def test_the_random_order_does_not_depend_on_which_photographs_have_come_in() -> None:
    one = at_random(label(10, 10, slice(300)))
    both = at_random(label(30, 10, labelled=label(2, 10, slice(300))))
    of_first = [name for name in both if name in NAMES[:300]]
    shorter = min(len(one), len(of_first))
    assert shorter > 40
    assert len(set(one[:shorter]) ^ set(of_first[:shorter])) <= 4  # but for those marked at the end of a round


def test_the_random_sample_has_its_share_of_the_uncertain_cells() -> None:
    """The model is wrong on the uncertain half of the cells, which are labelled first for being so."""
    uncertain = np.abs(PROBABILITY - 0.5) < 0.25
    wrong = {name for name, is_so in zip(NAMES, uncertain, strict=True) if is_so}
    labelled = label(40, 10)  # of the uncertain cells most
    drawn = at_random(labelled)
    never_marked = [name for name in drawn if name in dict.fromkeys(only_drawn(40, 10))]
    share, truth = np.mean([name in wrong for name in drawn]), uncertain.mean()
    assert share == pytest.approx(truth, abs=0.06)
    assert np.mean([name in wrong for name in never_marked]) < truth - 0.1


def only_drawn(rounds: int, n: int) -> list[str]:
    """The cells that were labelled for the random draw alone."""
    labelled: dict[str, str] = {}
    drawn: list[str] = []
    for _ in range(rounds):
        choice = choose(labelled, n)
        drawn += [name for name, chosen in choice.cells if chosen == "random"]
        labelled |= dict(choice.cells) | dict.fromkeys(choice.also_random, "random")
    return drawn


def test_a_cell_counts_as_random_once_all_before_it_are_labelled() -> None:
    order = [name for name, chosen in choose({}, 1200).cells if chosen == "random"]
    first, second, third, fourth = order[:4]
    assert choose({second: "active", fourth: "clicked"}, 2).also_random == []
    assert choose({second: "active", fourth: "clicked", first: "random"}, 2).also_random == [second]
    labelled = {second: "random", fourth: "clicked", first: "random", third: "random"}
    assert choose(labelled, 2).also_random == [fourth]


def test_every_cell_is_chosen_in_the_end_and_then_none() -> None:
    assert len(choose({}, 10_000, slice(7)).cells) == 7
    labelled = label(9, 2, slice(7))
    assert set(labelled) == set(NAMES[:7])
    assert choose(labelled, 10, slice(7)).cells == []


def test_one_cell_at_a_time_is_a_random_one() -> None:
    assert [chosen for _, chosen in choose({}, 1).cells] == ["random"]


def test_cells_that_look_the_same_are_one_kind() -> None:
    assert choose_actively(np.array([2.0, 1.0, 3.0]), np.array([[0.0], [0.0], [9.0]]), 2, seed=0).tolist() in (
        [1, 2],
        [2, 1],
    )
