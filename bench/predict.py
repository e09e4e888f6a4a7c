"""How near is predicting to bare decoding, and does its memory stay? `uv run python bench/predict.py [MODEL...]`

Predicts data/cells.zip, and the same five times over, by turns with only decoding it to squares in as many processes,
with each model given (default: models; a folder, revision or .onnx file), each in a process of its own; prints cells a
second, loading left out, the ratio to decoding, and the highest memory of the process that predicts.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import chain, repeat

from malaria import load_model
from malaria.core.workers import count_cores
from malaria.data.image_files import ImageFile, find_images
from malaria.model.hardware import prepare
from malaria.predict.batch import decode_files, predict_files

CELLS = "data/cells.zip"
TURNS, OVER = 3, 5


def files(times: int) -> Iterator[ImageFile]:
    return chain.from_iterable(find_images([path]) for path in repeat(CELLS, times))


def decode(model: str, times: int) -> tuple[float, int]:
    began = time.perf_counter()
    done = sum(len(part.names) for part in decode_files(files(times), 64, "stretch", count_cores()))
    return done / (time.perf_counter() - began), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def predict(model: str, times: int) -> tuple[float, int]:
    prepare(0)
    classifier = load_model(model)
    began = time.perf_counter()
    done = sum(len(table) for table, _ in predict_files(files(times), classifier, None, count_cores()))
    return done / (time.perf_counter() - began), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def apart(work: str, model: str, times: int) -> tuple[float, float]:
    """In a new process, as from a command line: cells a second, and KiB."""
    command = [sys.executable, __file__, model, "--apart", work, str(times)]
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}  # as malaria.cli sets it
    speed, memory = subprocess.check_output(command, text=True, env=environment).split()
    return float(speed), float(memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["models"], metavar="MODEL")
    parser.add_argument("--apart", nargs=2, help=argparse.SUPPRESS)  # what this script starts itself with
    options = parser.parse_args()
    if options.apart:
        print(*{"decode": decode, "predict": predict}[options.apart[0]](options.models[0], int(options.apart[1])))
        return
    print(f"{'':<12}{'cells':>8}{'cells/s':>9}{'ratio':>7}{'MB':>7}", flush=True)
    decoded = 0.0
    for name, work in [("decoding", "decode"), *((model, "predict") for model in options.models)]:
        speed, memory = max(apart(work, name, 1) for _ in range(TURNS))
        decoded = decoded or speed
        print(f"{name:<12}{27558:>8}{speed:>9.0f}{speed / decoded:>7.2f}{memory / 1024:>7.0f}", flush=True)
    speed, memory = apart("predict", options.models[0], OVER)
    print(f"{options.models[0]:<12}{27558 * OVER:>8}{speed:>9.0f}{'':>7}{memory / 1024:>7.0f}", flush=True)


if __name__ == "__main__":
    main()
