"""The stand-in's HTTP side: a server on loopback that may also fail on demand."""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from demo.cvat_standin.faults import (
    CLOSED_WITHOUT_ANSWER,
    REFUSED_BEFORE_ACTING,
    SLOW_SECONDS,
    Fault,
    FaultChooser,
)
from demo.cvat_standin.messages import SERVER_ERROR_PAGE, Answer, ApiError, Call, ServerError, as_json
from demo.cvat_standin.routes import dispatch
from demo.cvat_standin.state import State

HTML = "text/html; charset=utf-8"
UNANSWERED = 0  # the status, in the list of requests, of one whose connection was closed


class StandInServer:
    """A CVAT server on loopback for tests and the demo, as a context manager.

    port: 0 for any that is free. requests: (method, path without query, query, status) in order. fault: asked before
    each request what is to go wrong with it.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.state = State()
        self.token = self.state.new_token(self.state.admin)
        self.requests: list[tuple[str, str, str, int]] = []
        self.fault: FaultChooser | None = None
        self._taken = 0

    def __enter__(self) -> StandInServer:
        self._http = _HttpServer(("127.0.0.1", self.port), _handler_class(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.close_connections()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def answer(self, call: Call) -> tuple[Answer, Fault | None]:
        """Act on the call, or not, as the fault chosen for it says."""
        with self.state.lock:
            fault = self.fault(self._taken, call.method, call.path) if self.fault else None
            self._taken += 1
            answer = _refusal(fault) if fault in REFUSED_BEFORE_ACTING else _act(self.state, call)
            if fault is Fault.STATUS_504:
                answer = Answer(504, b"<html><h1>504 Gateway Time-out</h1></html>", HTML)
            status = UNANSWERED if fault in CLOSED_WITHOUT_ANSWER else answer.status
            self.requests.append((call.method, call.path, call.query_text, status))
        return answer, fault


def _refusal(fault: Fault | None) -> Answer:
    if fault is Fault.STATUS_429:
        value = {"detail": "Request was throttled. Expected available in 0 seconds."}
        return as_json(value, 429, {"Retry-After": "0"})
    return Answer(500, SERVER_ERROR_PAGE, HTML)


def _act(state: State, call: Call) -> Answer:
    try:
        return dispatch(state, call)
    except ApiError as error:
        return as_json(error.value, error.status)
    except ServerError:
        return Answer(500, SERVER_ERROR_PAGE, HTML)


def _handler_class(server: StandInServer) -> type[BaseHTTPRequestHandler]:
    return type("BoundHandler", (_Handler,), {"standin": server})


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a mistake of the stand-in and shows."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def close_connections(self) -> None:
        """End the connections that clients keep open."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was faster


class _Handler(BaseHTTPRequestHandler):
    standin: ClassVar[StandInServer]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def _handle(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        call = Call(self.command, self.path, headers, body, f"http://{headers.get('host', '')}")
        answer, fault = self.standin.answer(call)
        if fault in CLOSED_WITHOUT_ANSWER:
            self._reset()
            return
        if fault is Fault.SLOW:
            time.sleep(SLOW_SECONDS)
        self._send(answer, truncated=fault is Fault.TRUNCATED)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _handle  # noqa: N815 the base class finds them so

    def _send(self, answer: Answer, *, truncated: bool) -> None:
        self.send_response(answer.status)
        if answer.content_type:
            self.send_header("Content-Type", answer.content_type)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        for cookie in answer.cookies:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: len(answer.body) // 2] if truncated else answer.body)
        self.wfile.flush()
        self.close_connection = self.close_connection or truncated

    def _reset(self) -> None:
        """Close so that the client sees a reset connection, not an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """The list of requests is the log."""
