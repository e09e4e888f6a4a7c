"""Parasitemia, the share of red cells that are infected, from cells called parasitized by a classifier that errs.

With a specificity of 97 % three cells of a hundred are called in a smear without a parasite. A share p of infected
cells is called at the rate q = p * sensitivity + (1 - p) * (1 - specificity), which Rogan and Gladen (1978,
doi:10.1093/oxfordjournals.aje.a112510) solve for p. Here p has a posterior distribution instead (Joseph, Gyorkos and
Coupal 1995, doi:10.1093/oxfordjournals.aje.a117428; Diggle 2011, doi:10.1155/2011/608719), since that estimate can be
negative, and sensitivity and specificity of this patient are known as Beta distributions only.

Prior: with probability 1/2 there is no parasite, and else p has a density of 1 / (2 sqrt(p)), Beta(1/2, 1). Near 0 that
is Jeffreys' prior, whose intervals cover about as often as they say, and little of it is spent on p near 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan

import numpy as np

from malaria.evaluation.calibration import Beta
from malaria.evaluation.metrics import Array

LEVEL = 0.95
RED_CELLS = 5_000_000  # per microlitre of blood: an assumption, where no count is known
NO_PARASITE = 0.5  # prior probability
MOST_FIELDS = 1000  # photographs that `more_fields` may ask for
_SHRINKAGE = 4  # photographs without overdispersion that are added when it is estimated
_NODES, _COARSE, _FINE = 128, 48, 128  # points of the integration
_GOLDEN = 0.6180339887498949  # whose multiples, modulo 1, are evenly spread (Niederreiter 1992)


@dataclass(frozen=True)
class Parasitemia:
    """The parasitemia of a group of photographs: shares of the red cells, NaN where undefined."""

    cells: int
    called: int
    parasitemia: float  # median of the posterior
    low: float  # of the interval of 95 %, which begins at 0 unless no parasite at all is improbable, below 5 %
    high: float
    any_parasite: float  # probability that there is any parasite
    more_fields: int | None  # photographs more, like these, that halve the interval; None where MOST_FIELDS do not


@dataclass(frozen=True)
class _Posterior:
    """The probability of no parasite, and given that there is one the density of p in (B,) bins of equal root width."""

    none: float
    edges: Array  # (B + 1,) of p
    cumulative: Array  # (B + 1,) probability of p below each of them

    def quantile(self, level: float) -> float:
        return float(np.interp(level, self.cumulative, self.edges))

    def median(self) -> float:
        """Of both: 0 where no parasite is more probable than any."""
        return 0.0 if self.none >= 0.5 else self.quantile((0.5 - self.none) / (1 - self.none))

    def interval(self) -> tuple[float, float]:
        """The shortest interval of LEVEL of the density, or from 0 where that cannot be excluded.

        Its end does not profit from the probability of no parasite: whoever doubts that prior can use it.
        """
        if self.none > 1 - LEVEL:
            return 0.0, self.quantile(LEVEL)
        starts = np.linspace(0, 1 - LEVEL, 101)
        lows, highs = (np.interp(levels, self.cumulative, self.edges) for levels in (starts, starts + LEVEL))
        shortest = np.argmin(highs - lows)
        return float(lows[shortest]), float(highs[shortest])


def estimate_parasitemia(
    called: Array, cells: Array, sensitivity: Beta | None, specificity: Beta | None
) -> Parasitemia:
    """The parasitemia of one patient.

    Args:
        called: (G,) cells called parasitized in each photograph.
        cells: (G,) cells in each photograph.
        sensitivity: in a new patient, at the threshold used (`ErrorRates.at`); None where unknown.
        specificity: likewise.

    Returns:
        All but the counts is NaN or None where there is no cell, or an error rate is unknown.
    """
    called, cells = np.asarray(called, float), np.asarray(cells, float)
    total, hits = int(cells.sum()), int(called.sum())
    if not total or sensitivity is None or specificity is None:
        return Parasitemia(total, hits, nan, nan, nan, nan, None)
    effect = design_effect(called, cells)

    def posterior(times: float) -> _Posterior:
        return _find_posterior(hits * times / effect, total * times / effect, sensitivity, specificity)

    now = posterior(1)
    low, high = now.interval()
    more = _count_more_fields(posterior, high - low, int((cells > 0).sum()))
    return Parasitemia(total, hits, now.median(), low, high, 1 - now.none, more)


def per_microlitre(parasitemia: float, red_cells: float = RED_CELLS) -> float:
    """Infected cells per microlitre of blood with so many red cells."""
    return parasitemia * red_cells


def design_effect(called: Array, cells: Array) -> float:
    """How many times the variance of (G,) counts of photographs is that of binomial ones, at least 1.

    Pearson's statistic over its degrees of freedom (McCullagh and Nelder, Generalized Linear Models, 1989, section
    4.5), shrunk towards 1, since that of few photographs is nearly all chance.
    """
    rate = called.sum() / cells.sum()
    if not 0 < rate < 1:
        return 1.0
    expected = (cells * rate)[cells > 0]
    pearson = ((called[cells > 0] - expected) ** 2 / (expected * (1 - rate))).sum()
    return max(1.0, float((_SHRINKAGE + pearson) / (_SHRINKAGE + len(expected) - 1)))


def _find_posterior(called: float, cells: float, sensitivity: Beta, specificity: Beta) -> _Posterior:
    """Sensitivity and specificity are integrated over, at fixed points of equal probability: no random numbers."""
    rates, weights, log_none = _place_nodes(called, cells, sensitivity, specificity)

    def density(roots: Array) -> Array:  # logarithm, of the root of p, on whose scale the prior is flat
        likelihood = _log_likelihood(_mix(roots[:, None] ** 2, *rates), called, cells)
        return _log_mean(likelihood, weights)

    coarse = (np.arange(_COARSE) + 0.5) / _COARSE
    relevant = coarse[(log := density(coarse)) > log.max() - 20]
    edges = np.linspace(max(0, relevant[0] - 1 / _COARSE), min(1, relevant[-1] + 1 / _COARSE), _FINE + 1)
    log = density((edges[1:] + edges[:-1]) / 2)
    mass = np.exp(log - log.max()) * (edges[1] - edges[0])
    odds = np.exp(np.clip(log.max() + np.log(mass.sum()) - log_none, -700, 700)) * (1 - NO_PARASITE) / NO_PARASITE
    return _Posterior(1 / (1 + odds), edges**2, np.append(0, mass.cumsum()) / mass.sum())


def _place_nodes(
    called: float, cells: float, sensitivity: Beta, specificity: Beta
) -> tuple[tuple[Array, Array], Array, float]:
    """Points (sensitivity, false positive rate) with their weights, and the log likelihood of no parasite.

    Half of the false positive rates are spread as before the cells were seen, half as after, if there is no parasite:
    so there are enough of them where few or very many cells are called.
    """
    from scipy.special import betaincinv, betaln  # takes a while to import

    beta, alpha = specificity  # of the false positive rate
    after = alpha + called, beta + cells - called
    log_none = float(betaln(*after) - betaln(alpha, beta))
    levels = (np.arange(_NODES) + 0.5) / _NODES
    false = np.concatenate([betaincinv(alpha, beta, levels), betaincinv(*after, levels)]).clip(1e-12, 1 - 1e-12)
    true = betaincinv(*sensitivity, (np.arange(2 * _NODES) + 0.5) * _GOLDEN % 1)
    ratio = np.exp(np.clip(_log_likelihood(false, called, cells) - log_none, -700, 700))
    return (true, false), 1 / (1 + ratio) / _NODES, log_none


def _mix(parasitemia: Array, true: Array, false: Array) -> Array:
    """The rate at which cells are called."""
    rates: Array = (parasitemia * true + (1 - parasitemia) * false).clip(1e-12, 1 - 1e-12)
    return rates


def _log_likelihood(rates: Array, called: float, cells: float) -> Array:
    likelihood: Array = called * np.log(rates) + (cells - called) * np.log1p(-rates)
    return likelihood


def _log_mean(logs: Array, weights: Array) -> Array:
    """The logarithm of the weighted sum of exp over the last axis, without underflow."""
    top = logs.max(-1, keepdims=True)
    mean: Array = np.log(np.exp(logs - top) @ weights) + top[:, 0]
    return mean


def _count_more_fields(posterior: Callable[[float], _Posterior], width: float, fields: int) -> int | None:
    """The fewest photographs more, by bisection, with which the interval has half the width."""

    def halves(more: int) -> bool:
        low, high = posterior(1 + more / fields).interval()
        return high - low <= width / 2

    if not halves(MOST_FIELDS):
        return None
    few, enough = 0, MOST_FIELDS
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if halves(middle) else (middle, enough)
    return enough
