"""How long does one wait for the prompt to come back? `uv run python bench/start.py` writes docs/performance/start.txt.

Seconds of whole processes on a warm disk, by turns, the fastest of TURNS: importing the library, predicting one crop,
and counting PHOTOGRAPHS copies of the drawn photograph; beside them what Python and torch take alone, so that a ratio
tells the command from the machine.
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.timing import by_turns, environment
from malaria.cli.predict import EXAMPLE
from malaria.sources.drawing.sets import draw_cells

TURNS = 3
PHOTOGRAPHS = 10
OUT = Path("docs/performance/start.txt")


def run(*command: str) -> None:
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=environment())


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        crop, photographs = Path(folder) / "cell.png", Path(folder) / "photographs"
        crop.write_bytes(next(draw_cells(patients=2, cells=8, seed=0, workers=1))[1])
        photographs.mkdir()
        for number in range(PHOTOGRAPHS):
            (photographs / f"{number}.jpg").write_bytes(EXAMPLE.read_bytes())
        predict = partial(run, "-m", "malaria.cli", "predict")
        works = {
            "python": partial(run, "-c", "pass"),
            "import malaria": partial(run, "-c", "import malaria"),
            "import torch": partial(run, "-c", "import torch"),
            "malaria predict, one crop": partial(predict, str(crop)),
            f"malaria predict --by photo, {PHOTOGRAPHS} photographs": partial(
                predict, str(photographs), "--by", "photo"
            ),
        }
        times = {name: min(taken) for name, taken in by_turns(works, TURNS).items()}
    lines = [f"{name:<46} {taken:6.2f} s {taken / times['import torch']:6.2f}" for name, taken in times.items()]
    text = "\n".join([f"{'':<46} {'':>8} of import torch", *lines]) + "\n"
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(text, "utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
