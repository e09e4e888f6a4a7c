import asyncio
from typing import Any

import pytest

from malaria.app.middleware import LocalOnly, own_names, read_headers

HOST = "127.0.0.1:8421"


def ask(headers: dict[str, str], kind: str = "http") -> list[Any]:
    """What is sent in answer to a request with these headers; the app behind the guard answers 200."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any: ...

    scope = {"type": kind, "headers": [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]}
    asyncio.run(LocalOnly(app, own_names("127.0.0.1"), largest=1000)(scope, receive, send))
    return sent


@pytest.mark.parametrize("host", [HOST, "127.0.0.1", "localhost:80", "LOCALHOST", "[::1]:8421", "192.168.1.7:8421"])
def test_addresses_and_own_names_are_answered(host: str) -> None:
    assert ask({"host": host, "origin": f"http://{host}"})[0]["status"] == 200
    assert ask({"host": host})[0]["status"] == 200


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8421", "127.0.0.1.evil.example", "a@evil", "[", "a b"]
)
def test_a_name_that_is_not_ours_is_refused(host: str) -> None:
    assert ask({"host": host})[0]["status"] == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", "", "http://localhost:8421"])
def test_a_page_of_another_site_is_refused(origin: str) -> None:
    assert ask({"host": HOST, "origin": origin})[0]["status"] == 403
    assert ask({"host": HOST, "origin": origin}, "websocket") == [{"type": "websocket.close", "code": 1008}]


def test_too_much_or_of_a_length_untold_is_refused() -> None:
    assert ask({"host": HOST, "content-length": "1000"})[0]["status"] == 200
    for length in ("1001", "-1", "x", "²", "10, 10"):
        assert ask({"host": HOST, "content-length": length})[0]["status"] == 413
    assert ask({"host": HOST, "transfer-encoding": "chunked"})[0]["status"] == 411


def test_every_answer_forbids_what_is_from_elsewhere() -> None:
    headers = dict(ask({"host": HOST})[0]["headers"])
    assert headers[b"a"] == b"b"
    assert b"default-src 'self'" in headers[b"content-security-policy"]
    assert b"http" not in headers[b"content-security-policy"]
    assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]


def test_a_header_given_twice_fits_nothing() -> None:
    assert read_headers({"headers": [(b"Host", b"a"), (b"host", b"b")]}) == {"host": "a,b"}
    assert ask({"host": f"{HOST},{HOST}"})[0]["status"] == 400
