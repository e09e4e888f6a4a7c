"""Tells parasitized from uninfected red blood cells: the library behind the pipeline.

The public interface is `load_model` and the `Classifier` it returns; everything else may change.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from malaria.predict.classifier import Classifier
    from malaria.predict.load import load_model

__all__ = ["Classifier", "load_model"]


def __getattr__(name: str) -> Any:
    """Import on first use: torch takes seconds, and the stages import this package too."""
    if name not in __all__:
        raise AttributeError(f"module 'malaria' has no attribute {name!r}")
    from malaria.predict import classifier, load

    return getattr(load if name == "load_model" else classifier, name)
