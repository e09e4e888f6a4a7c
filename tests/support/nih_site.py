"""A server on loopback in place of NLM's, as bad as one likes."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

import pytest

BODY = Random(0).randbytes(1_000_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@dataclass
class Site:
    """What the server serves and how badly; what it was asked."""

    url: str
    body: bytes = BODY
    cuts: list[int] = field(default_factory=list)  # bytes after which each connection in turn is cut; then none is
    errors: list[int] = field(default_factory=list)  # statuses that answer each request in turn; then as it should
    ranges: bool = True
    asked: list[str | None] = field(default_factory=list)  # the Range header of each request


def handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers["Range"]
            site.asked.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and site.ranges else 0
            if site.errors:
                self.send_error(site.errors.pop(0))
            elif start >= len(site.body):
                self.answer(416, f"bytes */{len(site.body)}", b"")
            elif start:
                self.answer(206, f"bytes {start}-{len(site.body) - 1}/{len(site.body)}", site.body[start:])
            else:
                self.answer(200, "", site.body)

        def answer(self, status: int, content_range: str, body: bytes) -> None:
            self.send_response(status)
            if content_range:
                self.send_header("Content-Range", content_range)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: site.cuts.pop(0)] if site.cuts else body)  # HTTP/1.0: then it hangs up

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site("")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(site)) as server:
        site.url = f"http://127.0.0.1:{server.server_port}/cell_images.zip"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        server.shutdown()
        thread.join()
