"""Serve a page on which one drops photographs, sees their cells predicted, corrects, and adapts the model.

  uv run --extra app malaria app
  uv run --extra app malaria app --folder my-lab --model models

The page is served on this machine, and nothing leaves it. All that it works on is in a folder, so that a session goes
on where it stopped: photographs, cells, patients.csv, labels-READER.csv and the adapted models.
"""

import argparse
import ipaddress
import secrets
import socket
from pathlib import Path

from malaria.cli._options import add_model
from malaria.core.errors import UserError
from malaria.lab.lab import Lab

try:
    from malaria.app import page
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "nicegui":
        raise
    raise UserError("nicegui is not installed; `uv run --extra app malaria app` installs it") from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_model(parser)
    parser.add_argument("--folder", type=Path, default=Path("my-lab"), help="what to work on (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine)")
    parser.add_argument("--port", type=int, default=8421, help="(default: %(default)s)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")


def run(options: argparse.Namespace) -> None:
    """Serve until Ctrl-C; the model is loaded before anything listens.

    Whoever reaches this machine over a network needs the token that is printed with the address.
    """
    port = find_port(options.host, options.port)
    lab = Lab(options.folder, options.model)
    try:
        lab.load()
    except UserError:
        lab.stop()
        raise
    token = None if is_loopback(options.host) else secrets.token_urlsafe(16)
    page.serve(lab, options.host, port, token, show=not options.no_browser)


def find_port(host: str, port: int) -> int:
    """The port, or a free one for 0.

    Raises:
        UserError: one cannot listen on it.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.create_server((address[0], port), family=family) as server:
            free: int = server.getsockname()[1]
            return free
    except (OSError, OverflowError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        reason = reason.partition(" (")[0].rstrip(".")  # Python tells the address again there
        raise UserError(f"{host}, port {port}: {reason}; --port takes another, 0 any that is free") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
