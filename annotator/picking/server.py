"""The page over HTTP: for this machine, and for who has the address with its token."""

from __future__ import annotations

import json
import re
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from annotator.errors import AnnotatorError
from annotator.picking.desk import Desk
from annotator.picking.session import MARKS
from annotator.report import template
from frame_tools.errors import FrameToolsError

LOOPBACK = "127.0.0.1"
MOST_BYTES = 65_536  # of a request's body
IDLE_SECONDS = 60  # until a connection on which nothing is asked is closed

_POLICY = (
    "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PickingServer(ThreadingHTTPServer):
    """Answers for one desk. port: 0 for any that is free. Raises AnnotatorError where the port is taken."""

    daemon_threads = True

    def __init__(self, desk: Desk, port: int = 0) -> None:
        self.desk, self.token = desk, secrets.token_urlsafe(24)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise AnnotatorError(f"port {port}: cannot be used: {error.strerror}; leave --port out for any") from error

    @property
    def port(self) -> int:
        """On which it listens."""
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """Its name: cookies know no port, and another page may be open on another one."""
        return f"picking-{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names by which it may be called; any other is a stranger's that leads here."""
        return (f"{LOOPBACK}:{self.port}", f"localhost:{self.port}")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no error; anything else is one line."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"the page asked for something that failed: {error!r}", file=sys.stderr)


@contextmanager
def served(desk: Desk, port: int = 0) -> Iterator[PickingServer]:
    """A server that answers until the block ends."""
    server = PickingServer(desk, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: PickingServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "annotator", ""
    timeout = IDLE_SECONDS
    wbufsize, disable_nagle_algorithm = -1, True  # head and body in one go, or the browser's delayed ACK costs 40 ms

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if not self._is_known_host():
            return
        if address.path == "/" and "token" in (query := parse_qs(address.query, keep_blank_values=True)):
            self._let_in(query["token"][0])
        elif self._is_let_in():
            self._answer(lambda: self._get(address.path, parse_qs(address.query, keep_blank_values=True)))

    def do_POST(self) -> None:
        if not self._is_known_host() or not self._is_let_in():
            return
        if self.headers.get("Origin") not in {f"http://{host}" for host in self.server.hosts}:
            self._refuse(HTTPStatus.FORBIDDEN, "only this page itself may ask for that")
            return
        self._answer(lambda: self._post(urlsplit(self.path).path, self._body()))

    def log_message(self, *args: Any) -> None:
        """Nobody reads a line a picture."""

    def _get(self, path: str, query: dict[str, list[str]]) -> tuple[str, bytes] | None:
        desk = self.server.desk
        if path == "/":
            return "text/html; charset=utf-8", self._page()
        if path == "/state":
            return _json(desk.state())
        if match := re.fullmatch(r"/video/(\d{1,6})", path):
            return _json(desk.frames(int(match[1])))
        if match := re.fullmatch(r"/thumbnail/(\d{1,6})/(-?\d{1,18})", path):
            return "image/jpeg", desk.thumbnail(int(match[1]), int(match[2]))
        if match := re.fullmatch(r"/frame/(\d{1,6})/(-?\d{1,18})", path):
            return "image/jpeg", desk.picture(int(match[1]), int(match[2]), "full" in query)
        return None

    def _post(self, path: str, values: dict[str, Any]) -> tuple[str, bytes] | None:
        if path == "/event":
            return _json(self.server.desk.do(values))
        if path in ("/finish", "/quit"):
            self.server.desk.ask(path[1:])
            return _json({})
        return None

    def _page(self) -> bytes:
        self._nonce = secrets.token_urlsafe(16)
        values = {"$colours": template("colours.css"), "$marks": json.dumps(MARKS), "$nonce": self._nonce}
        page = template("picking.html")
        for name, value in values.items():
            page = page.replace(name, value)
        return page.encode()

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self.close_connection = True
            raise AnnotatorError(f"a body of {length or 'unknown'} bytes, expected at most {MOST_BYTES}")
        try:
            values = json.loads(self.rfile.read(int(length)) or b"{}")
        except ValueError as error:
            raise AnnotatorError(f"the body is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise AnnotatorError(f"the body is {values!r}, expected an object")
        return values

    def _is_known_host(self) -> bool:
        known = self.headers.get("Host") in self.server.hosts
        if not known:
            self._refuse(HTTPStatus.FORBIDDEN, f"call it {LOOPBACK}:{self.server.port}")
        return known

    def _is_let_in(self) -> bool:
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            cookie = None
        let_in = cookie is not None and self._is_token(cookie.value)
        if not let_in:
            self._refuse(HTTPStatus.FORBIDDEN, "open the address that the command has printed, with its token")
        return let_in

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self.server.token.encode())

    def _let_in(self, token: str) -> None:
        """Remember the browser by a cookie, so that the token does not stay in its address."""
        if not self._is_token(token):
            self._refuse(HTTPStatus.FORBIDDEN, "this token is not that of the command that runs now")
            return
        cookie = f"{self.server.cookie}={token}; Path=/; HttpOnly; SameSite=Lax"
        self._send(HTTPStatus.SEE_OTHER, "text/plain", b"", {"Location": "/", "Set-Cookie": cookie})

    def _answer(self, work: Callable[[], tuple[str, bytes] | None]) -> None:
        try:
            found = work()
        except (AnnotatorError, FrameToolsError) as error:
            kind, content = _json({"error": str(error)})
            self._send(HTTPStatus.BAD_REQUEST, kind, content)
            return
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
            return
        kind, content = found
        extra = {"Content-Security-Policy": _POLICY.format(self._nonce)} if kind.startswith("text/html") else {}
        self._send(HTTPStatus.OK, kind, content, extra)

    def _refuse(self, status: HTTPStatus, words: str) -> None:
        self.close_connection = True
        self._send(status, "text/plain; charset=utf-8", f"{words}\n".encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes, extra: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **(extra or {}), "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _json(values: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(values, ensure_ascii=False, allow_nan=False).encode()
