"""What the page hands to its worker process: a function of `malaria.lab.worker` by name, which imports torch there."""

from importlib import import_module
from typing import Any


def run_job(function: str, *arguments: Any) -> Any:
    """Call a function of `malaria.lab.worker`."""
    return getattr(import_module("malaria.lab.worker"), function)(*arguments)
