"""A model.json of any recipe."""

from typing import Any

from malaria.model_card import ModelCard
from malaria.model_files import Recipe
from malaria.traits import TRAITS


def make_card(recipe: Recipe, **changes: Any) -> ModelCard:
    """Nothing is unlike anything to it, unless changed."""
    chosen: dict[str, Any] = {"tta": False, "temperature": 1.5, "operating_point": "default", "threshold": 0.5}
    chosen |= {"operating_points": {"default": 0.5, "sensitivity_98": 0.1, "specificity_99": None}}
    chosen |= {"doubt_margin": 0.4, "usual": dict.fromkeys(TRAITS, (-9.0, 0.0, 9.0)), "unlike_above": 1.0}
    chosen |= {"evidence_peak": 0.01, "weights": 10, "macs": 100}
    return ModelCard(**recipe.model_dump(), **(chosen | changes))
