"""How long does each stage take, and how much memory? `uv run python bench/stage_costs.py [STAGE...]`

Runs the stages one after the other on what is in the workspace (so after a `dvc repro`), outside DVC, which afterwards
finds the same bytes. Memory is the most that one process of the stage held at a time, files mapped into it included.
"""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from ruamel.yaml import YAML


def measure(command: str) -> tuple[float, float]:
    """Seconds and MB at the most; the command's own output goes to stderr."""
    began = time.perf_counter()
    process = subprocess.Popen(shlex.split(command), stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command}: failed")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def main() -> None:
    stages = YAML(typ="safe", pure=True).load(Path("dvc.yaml"))["stages"]
    print(f"{'stage':<12}{'seconds':>8}{'MB':>8}")
    for name in sys.argv[1:] or stages:
        seconds, megabytes = measure(stages[name]["cmd"].replace("python", sys.executable, 1))
        print(f"{name:<12}{seconds:>8.1f}{megabytes:>8.0f}", flush=True)


if __name__ == "__main__":
    main()
