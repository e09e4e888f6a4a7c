"""The former name of `malaria app`, for one release more.

uv run --extra app malaria demo
"""

from malaria.cli.app import add_arguments, run

__all__ = ["add_arguments", "run"]
