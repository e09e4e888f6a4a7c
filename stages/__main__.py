"""Run a stage: `python -m stages train`.

Checks params.yaml before it imports the stage, which takes seconds, and explains failures in one message.
"""

import errno
import signal
import sys
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from types import FrameType
from typing import NoReturn

from malaria.core.errors import UserError
from malaria.params import load_params

STAGES = ("download", "split", "preprocess", "audit", "train", "evaluate", "report")
MEMORY = {  # what to lower in params.yaml where memory runs out
    "download": "download.synthetic.cells",
    "train": "train.batch_size or preprocess.size",
}
DISK_FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
# of torch's allocators, the system, and Python, whose threads need memory too
NO_MEMORY = "can't allocate memory", "out of memory", "cannot allocate memory", "can't start new thread"
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # as a shell counts


def main() -> None:
    """Run the stage that the command line names; exit with 0, or with a message on stderr and another status."""
    if len(sys.argv) != 2 or sys.argv[1] not in STAGES:
        sys.exit(f"usage: python -m stages {{{','.join(STAGES)}}}")
    name = sys.argv[1]
    signal.signal(signal.SIGTERM, _terminate)  # by an exception, so that temporary files are removed
    try:
        params = load_params()
        import_module(f"stages.{name}").main(params)
    except KeyboardInterrupt:
        print(f"{name}: interrupted; `dvc repro` resumes", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except UserError as error:
        sys.exit(f"{name}: {error}")
    except Exception as error:
        if message := explain(error, MEMORY.get(name, "preprocess.size")):
            sys.exit(f"{name}: {message}")
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # an exception has no place in an interpreter that is exiting


def explain(error: Exception, lower: str) -> str | None:
    """What failed and what to do, where the machine lacks something; None where the mistake is ours."""
    more = f"give it more, or lower {lower} in params.yaml"
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in NO_MEMORY):
        return f"not enough memory ({str(error) or 'none left'}): {more}"
    if isinstance(error, BrokenProcessPool):
        return f"a worker process was killed, perhaps for lack of memory: {more}"
    if isinstance(error, OSError) and error.errno is not None:
        return _explain_file(error)
    return None


def _explain_file(error: OSError) -> str:
    where = f"{error.filename or 'a file'}: "
    if error.errno in DISK_FULL:
        return where + f"the disk is full ({error.strerror}); free some space and run `dvc repro` again"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return where + f"cannot be read or written ({error.strerror}); change its permissions, or work in another clone"
    if isinstance(error, FileNotFoundError):
        return where + "no such file; `dvc repro` makes what a stage reads"
    return where + str(error.strerror)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the clean-up
    print(f"{sys.argv[1]}: terminated; `dvc repro` resumes", file=sys.stderr)
    sys.exit(TERMINATED)


if __name__ == "__main__":
    main()
