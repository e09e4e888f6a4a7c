"""`malaria demo`: a page on this machine to try the model on."""

import argparse
import ipaddress
import socket
import sys

from malaria import compute
from malaria.errors import UserError
from malaria.model_sources import load_model


def run(options: argparse.Namespace) -> None:
    """Serve until Ctrl-C; the model is loaded before anything listens."""
    try:
        from malaria import demo
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "nicegui":
            raise
        raise UserError("nicegui is missing; `uv run --extra demo malaria demo` brings it") from None
    port = find_port(options.host, options.port)
    compute.prepare(seed=0)
    classifier = load_model(options.model)
    if not is_loopback(options.host):
        print(
            f"--host {options.host}: whoever reaches this machine over the network can use the page, "
            "and nothing encrypts what they send",
            file=sys.stderr,
        )
    demo.serve(classifier, options.host, port, show=not options.no_browser)


def find_port(host: str, port: int) -> int:
    """The port, if one can listen on it there; a free one for 0.

    Raises:
        UserError: one cannot.
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
    """Whether nobody else can reach that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
