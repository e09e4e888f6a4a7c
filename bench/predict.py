"""How close is predicting to bare decoding, and does its memory stay? `uv run python bench/predict.py [MODEL...]`

Predicts data/cells.zip, and the same five times over, and for comparison only decodes it to squares in as many
processes, with each model given (default: models; a folder, revision or .onnx file), each run in a process of its own.
Prints cells a second, loading left out, the ratio to decoding, and the peak memory of the process that predicts.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat

from malaria.core.workers import count_cores
from malaria.data.image_files import ImageFile, find_images
from malaria.params import Preprocess
from malaria.smear.files import decode_files

CELLS = "data/cells.zip"
HOW = Preprocess(size=64, fit="stretch", mask="auto", unsegmented="drop")
TURNS, OVER = 3, 5


def files(times: int) -> Iterator[ImageFile]:
    return chain.from_iterable(find_images([path]) for path in repeat(CELLS, times))


def decode(model: str, times: int) -> Iterator[int]:
    yield 0
    yield from (len(part.table) for part in decode_files(files(times), HOW, count_cores()))


def predict(model: str, times: int) -> Iterator[int]:
    # here, since the decoding processes import this module, and those of `malaria predict` do without torch
    from malaria import load_model
    from malaria.model.hardware import prepare
    from malaria.predict.batch import predict_files

    prepare(0)
    classifier = load_model(model)
    yield 0
    yield from (len(part.table) for part in predict_files(files(times), classifier, None, count_cores()))


def measure(work: Callable[[str, int], Iterator[int]], model: str, times: int) -> tuple[float, int, int]:
    """Cells a second from when all is loaded, KiB of memory, cells."""
    counts = work(model, times)
    next(counts)
    began = time.perf_counter()
    done = sum(counts)
    return done / (time.perf_counter() - began), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, done


def apart(work: str, model: str, times: int) -> tuple[float, float, int]:
    """The same in a new process, as from a command line."""
    command = [sys.executable, __file__, model, "--apart", work, str(times)]
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}  # as malaria.cli sets it
    speed, memory, cells = subprocess.check_output(command, text=True, env=environment).split()
    return float(speed), float(memory), int(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["models"], metavar="MODEL")
    parser.add_argument("--apart", nargs=2, help=argparse.SUPPRESS)  # what this script starts itself with
    options = parser.parse_args()
    if options.apart:
        work, times = options.apart
        print(*measure({"decode": decode, "predict": predict}[work], options.models[0], int(times)))
        return
    print(f"{'':<12}{'cells':>8}{'cells/s':>9}{'ratio':>7}{'MB':>7}", flush=True)
    decoded = 0.0
    for name, work in [("decoding", "decode"), *((model, "predict") for model in options.models)]:
        speed, memory, cells = max(apart(work, name, 1) for _ in range(TURNS))
        decoded = decoded or speed
        print(f"{name:<12}{cells:>8}{speed:>9.0f}{speed / decoded:>7.2f}{memory / 1024:>7.0f}", flush=True)
    speed, memory, cells = apart("predict", options.models[0], OVER)
    print(f"{options.models[0]:<12}{cells:>8}{speed:>9.0f}{'':>7}{memory / 1024:>7.0f}", flush=True)


if __name__ == "__main__":
    main()
