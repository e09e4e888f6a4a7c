import socket

import pytest

from malaria.cli.app import find_port, is_loopback
from malaria.core.errors import UserError


def test_a_port_that_cannot_be_used_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        used = taken.getsockname()[1]
        for host, port in (("127.0.0.1", used), ("no.such.host.invalid", 8421), ("127.0.0.1", 70_000)):
            with pytest.raises(UserError, match=f"{host}, port {port}: .*--port"):
                find_port(host, port)
    assert find_port("127.0.0.1", 0) > 1023


@pytest.mark.parametrize(
    ("host", "expected"),
    [(host, True) for host in ("127.0.0.1", "::1", "localhost")]
    + [(host, False) for host in ("0.0.0.0", "::", "192.168.1.7", "somewhere")],
)
def test_only_loopback_addresses_are_local(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected
