"""How each stage runs: alone in its folder, and with what ends it said in words."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from malaria.errors import UserError

try:
    import fcntl
except ImportError:  # Windows, where nobody is kept out
    fcntl = None  # type: ignore[assignment]

FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
NO_MEMORY = "can't allocate memory", "out of memory", "cannot allocate memory"  # of torch's allocators, and the system
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # as a shell counts


def run(main: Callable[[], None], lower: str = "preprocess.size") -> None:
    """Run a stage's main() as the program, which ends with status 0 or with one message and another.

    lower: what in params.yaml makes the stage take less memory.
    """
    script = Path(sys.argv[0])
    signal.signal(signal.SIGTERM, _terminate)  # by an exception, which tidies up
    try:
        with _alone(script):
            main()
    except KeyboardInterrupt:
        print(f"{script.stem}: interrupted; `dvc repro` goes on", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except UserError:
        raise
    except Exception as error:
        if words := explain(error, lower):
            raise UserError(f"{script.stem}: {words}") from None
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # an exception has no place in an interpreter that is ending


def explain(error: Exception, lower: str) -> str | None:
    """What went wrong and what to do, where it is the machine that lacks something; None where it is our mistake."""
    more = f"give it more, or lower {lower} in params.yaml"
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in NO_MEMORY):
        return f"not enough memory ({str(error) or 'none left'}): {more}"
    if isinstance(error, BrokenProcessPool):
        return f"a process that helped was killed, perhaps since memory ran out: {more}"
    if isinstance(error, OSError) and error.errno is not None:
        return _explain_file(error)
    return None


def _explain_file(error: OSError) -> str:
    where = f"{error.filename or 'a file'}: "
    if error.errno in FULL:
        return where + f"the disk is full ({error.strerror}); free some space and run `dvc repro` again"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return where + f"may not be written or read ({error.strerror}); allow it, or work in a clone of your own"
    if isinstance(error, FileNotFoundError):
        return where + "not there; `dvc repro` makes it"
    return where + str(error.strerror)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would break off the tidying up
    print(f"{Path(sys.argv[0]).stem}: terminated; `dvc repro` goes on", file=sys.stderr)
    sys.exit(TERMINATED)


@contextmanager
def _alone(script: Path) -> Iterator[None]:
    """Keep a second run of the stage out of this folder, as one beside what a killed `dvc repro` has left running.

    The lock is on the script, so no file is left of it. The processes of one training have one lock together.
    """
    if fcntl is None or "TORCHELASTIC_RUN_ID" in os.environ:
        yield
        return
    with script.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{script.stem}: another run of it works in this folder, perhaps left by a `dvc repro` that was "
                f"killed; wait until it has ended, or end it (`pgrep -af stages.{script.stem}` shows it)"
            ) from None
        except OSError:
            pass  # a file system without locks
        yield
