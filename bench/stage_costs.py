"""How long does each stage take, and how much memory? `uv run python bench/stage_costs.py [STAGE...]`

Runs the stages one after the other on what is in the workspace (so after a `dvc repro`), outside DVC, which afterwards
finds the same bytes. Memory is the peak of one process of the stage, files mapped into it included.
"""

import os
import subprocess
import sys
import time

from bench.timing import environment
from stages.__main__ import STAGES


def measure(stage: str) -> tuple[float, float]:
    """Run a stage; seconds, and MB at the peak. Its output goes to stderr."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "stages", stage], stdout=sys.stderr, env=environment())
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{stage} failed, see above")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def main() -> None:
    print(f"{'stage':<12}{'seconds':>8}{'MB':>8}")
    for stage in sys.argv[1:] or STAGES:
        seconds, megabytes = measure(stage)
        print(f"{stage:<12}{seconds:>8.1f}{megabytes:>8.0f}", flush=True)


if __name__ == "__main__":
    main()
