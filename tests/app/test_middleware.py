import asyncio
from typing import Any

import pytest

from malaria.app.middleware import LocalOnly, own_names

HOST = "127.0.0.1:8421"


def ask(*headers: tuple[str, str], kind: str = "http") -> list[Any]:
    """The messages sent in answer to a request with these headers; the app behind the middleware answers 200."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any: ...

    scope = {"type": kind, "headers": [(key.encode(), value.encode("latin-1")) for key, value in headers]}
    asyncio.run(LocalOnly(app, own_names("127.0.0.1"), max_bytes=1000)(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    ("host", "status"),
    [(host, 200) for host in (HOST, "127.0.0.1", "localhost:80", "LOCALHOST", "[::1]:8421", "192.168.1.7:8421")]
    + [(host, 400) for host in ("", "evil.example:8421", "127.0.0.1.evil.example", "a@evil", "[", "a b")],
)
def test_only_addresses_and_own_names_are_answered(host: str, status: int) -> None:
    assert ask(("host", host), ("origin", f"http://{host}"))[0]["status"] == status
    assert ask(("host", host))[0]["status"] == status


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", "", "http://localhost:8421"])
def test_a_page_of_another_site_is_refused(origin: str) -> None:
    headers = ("host", HOST), ("origin", origin)
    assert ask(*headers)[0]["status"] == 403
    assert ask(*headers, kind="websocket") == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    ("header", "status"),
    [(("content-length", "1000"), 200), (("transfer-encoding", "chunked"), 411)]
    + [(("content-length", length), 413) for length in ("1001", "-1", "x", "²", "10, 10")],
)
def test_a_body_that_is_too_large_or_of_unknown_length_is_refused(header: tuple[str, str], status: int) -> None:
    assert ask(("host", HOST), header)[0]["status"] == status


def test_a_header_given_twice_is_refused() -> None:
    assert ask(("host", HOST), ("Host", HOST))[0]["status"] == 400


def test_every_answer_forbids_content_from_elsewhere() -> None:
    headers = dict(ask(("host", HOST))[0]["headers"])
    assert headers[b"a"] == b"b"
    policy = headers[b"content-security-policy"]
    assert b"default-src 'self'" in policy
    assert b"frame-ancestors 'none'" in policy
    assert b"http" not in policy
