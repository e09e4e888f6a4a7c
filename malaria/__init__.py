"""Tells parasitized from uninfected red blood cells: what the stages of the pipeline are made of.

The public interface is `load_model`, and what it gives, a `Classifier`; all else may change.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from malaria.classifier import Classifier
    from malaria.model_sources import load_model

__all__ = ["Classifier", "load_model"]


def __getattr__(name: str) -> Any:
    """Imported when first asked for: torch takes seconds, and not all that is here needs it."""
    if name not in __all__:
        raise AttributeError(f"module 'malaria' has no attribute {name!r}")
    from malaria import classifier, model_sources

    return getattr(model_sources if name == "load_model" else classifier, name)
