"""`malaria push-runs`: let others restore what was run here."""

import argparse

from malaria.experiments import push_runs


def run(options: argparse.Namespace) -> None:
    """Push, and say how many files that were."""
    print(f"{push_runs(options.remote)} files pushed")
