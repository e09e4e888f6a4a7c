"""A stage that is terminated tidies up, and says one line, whenever it is told to."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scratch import ROOT

TERM = "os.kill(os.getpid(), signal.SIGTERM)"
WHILE_IT_WORKS = f"""
    {TERM}
"""
TWICE = f"""
    try:
        {TERM}
    finally:
        {TERM}
        print("tidied up")
"""
WHILE_IT_ENDS = f"""
    atexit.register(lambda: {TERM})
"""


@pytest.mark.parametrize(
    ("body", "status", "printed", "said"),
    [
        (WHILE_IT_WORKS, 128 + signal.SIGTERM, "", "work: terminated; `dvc repro` goes on\n"),
        (TWICE, 128 + signal.SIGTERM, "tidied up\n", "work: terminated; `dvc repro` goes on\n"),
        (WHILE_IT_ENDS, -signal.SIGTERM, "", ""),
    ],
)
def test_terminated(body: str, status: int, printed: str, said: str, tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(f"import atexit, os, signal\nfrom malaria.stage import run\n\ndef main():{body}\nrun(main)\n")
    command = [sys.executable, script]
    ended = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, printed, said)
