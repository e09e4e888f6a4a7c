"""ASGI middleware for a local server: refuses requests of other sites, unknown host names and large bodies."""

import hmac
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

HEADERS = {
    # NiceGUI and Vue start by inline scripts and eval; all that is loaded is this server's, and what is told goes to it
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


COOKIE = "malaria-token"


class LocalOnly:
    """Pass on the requests of this server's own page, with bodies of at most `max_bytes`.

    A page of another site may send requests to 127.0.0.1, and may even give its own name this address (DNS rebinding).
    The first says where it is from in Origin, the second has its name in Host. With a token the first request has it in
    its URL, and the others in a cookie that the answer sets.
    """

    def __init__(self, app: App, names: Iterable[str], max_bytes: int, token: str | None = None) -> None:
        self.app, self.names, self.max_bytes, self.token = app, frozenset(names), max_bytes, token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif refusal := self.refuse(read_headers(scope)) or self.ask_token(scope):
            await (_close(send) if scope["type"] == "websocket" else _answer(send, *refusal))
        else:
            await self.app(scope, receive, _with_headers(send, self.headers))

    @property
    def headers(self) -> dict[str, str]:
        """What each answer gets."""
        cookie = {"set-cookie": f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"} if self.token else {}
        return HEADERS | cookie

    def ask_token(self, scope: Message) -> tuple[int, str] | None:
        """Status and reason, if a token is needed and this request has another or none."""
        if self.token is None:
            return None
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
        cookies = read_headers(scope).get("cookie", "").split(";")
        given += [value for name, _, value in (cookie.strip().partition("=") for cookie in cookies) if name == COOKIE]
        if any(hmac.compare_digest(value.encode(), self.token.encode()) for value in given):
            return None
        return 403, "Open the page by the address with the token, which the terminal of the server shows."

    def refuse(self, headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and reason, if a request with these headers is refused."""
        host = headers.get("host", "").lower()
        if not self.knows(host):
            return 400, "Unknown host name; open the page by its address."
        if "origin" in headers and headers["origin"].lower().partition("://")[2] != host:
            return 403, "Requests of other sites are refused."
        if "transfer-encoding" in headers:
            return 411, "A Content-Length is required."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.max_bytes:
            return 413, f"More than {self.max_bytes} bytes."
        return None

    def knows(self, host: str) -> bool:
        """Whether a Host header is an address, which nobody can rebind, or one of our names."""
        parts = re.fullmatch(r"\[([0-9a-f:]+)\](:\d+)?|([a-z0-9._-]+)(:\d+)?", host)
        name = parts and (parts[1] or parts[3])
        try:
            return name in self.names or bool(ipaddress.ip_address(name or ""))
        except ValueError:
            return False


def own_names(host: str) -> set[str]:
    """The names of a server on this computer that listens on `host`."""
    name = socket.gethostname().lower()
    return {"localhost", host.lower(), name, f"{name}.local"}


def read_headers(scope: Message) -> dict[str, str]:
    """The headers of a request by lower-case name; one given twice is joined, so that it equals no valid value."""
    headers: dict[str, str] = {}
    for key, value in scope["headers"]:
        name, text = key.decode("latin-1").lower(), value.decode("latin-1")
        headers[name] = f"{headers[name]},{text}" if name in headers else text
    return headers


def _with_headers(send: Send, headers: dict[str, str]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *((k.encode(), v.encode()) for k, v in headers.items())]
        await send(message)

    return send_with_headers


async def _answer(send: Send, status: int, reason: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})


async def _close(send: Send) -> None:
    await send({"type": "websocket.close", "code": 1008})
