"""Push what was run here to a remote, for others to restore with `dvc exp run --pull`.

  malaria push-runs
  malaria push-runs -r shared

Pushes the run cache and all that its runs made.
"""

import argparse

from malaria.core.repository import push_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("-r", "--remote", help="one of `dvc remote list`, the default one if not given")


def run(options: argparse.Namespace) -> None:
    """Push, and print the number of files."""
    print(f"{push_runs(options.remote)} files pushed")
