"""The former name of `malaria app`."""

from malaria.cli.app import add_arguments, run

__all__ = ["add_arguments", "run"]
