"""A call as the routes see it, and what they answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

JSON_TYPE = "application/vnd.cvat+json"
SERVER_ERROR_PAGE = (
    b'\n<!doctype html>\n<html lang="en">\n<head>\n  <title>Server Error (500)</title>\n</head>\n'
    b"<body>\n  <h1>Server Error (500)</h1><p></p>\n</body>\n</html>\n"
)


@dataclass(frozen=True)
class Call:
    """One HTTP request. headers: names in lower case. base: the server's address as the client wrote it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    base: str

    @property
    def path(self) -> str:
        """The path, still quoted."""
        return urlsplit(self.target).path

    @property
    def query_text(self) -> str:
        """What follows the question mark."""
        return urlsplit(self.target).query

    @property
    def query(self) -> dict[str, str]:
        """The query's values; of a repeated name the last."""
        return dict(parse_qsl(self.query_text, keep_blank_values=True))

    def json(self) -> Any:
        """The body; {} where there is none. Raises ApiError 400 where it is not JSON."""
        if not self.body:
            return {}
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ApiError(400, {"detail": f"JSON parse error - {error}"}) from error

    def files(self) -> list[tuple[str, bytes]]:
        """(file name as sent, content) of each file of a multipart body."""
        boundary = self.headers["content-type"].partition("boundary=")[2].strip('"')
        parts = (part.split(b"\r\n\r\n", 1) for part in self.body.split(f"--{boundary}".encode())[1:-1])
        found = ((re.search(rb'filename="([^"]*)"', head), content) for head, content in parts)
        return [(name[1].decode(), content.removesuffix(b"\r\n")) for name, content in found if name]


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Sequence[str] = ()


class ApiError(Exception):
    """A request that the server refuses: status and the body's JSON value."""

    def __init__(self, status: int, value: Any) -> None:
        super().__init__(status, value)
        self.status = status
        self.value = value


class ServerError(Exception):
    """Something that makes the real server answer 500 with a page."""


def as_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return Answer(status, text.encode(), JSON_TYPE, headers or {})


def not_found(noun: str) -> ApiError:
    """404 as Django's framework words it."""
    return ApiError(404, {"detail": f"No {noun} matches the given query."})


def paged(call: Call, rows: Sequence[Any], view: Callable[[Any], Any]) -> Answer:
    """One page of `rows`, ten unless the query's `page_size` says otherwise."""
    number, size = _positive(call, "page", 1), _positive(call, "page_size", 10)
    last = max(1, -(-len(rows) // size))
    if number > last:
        raise ApiError(404, {"detail": "Invalid page."})

    def link(page: int) -> str | None:
        query = urlencode({**call.query, "page": page})
        return f"{call.base}{call.path}?{query}" if 1 <= page <= last else None

    chosen = rows[(number - 1) * size : number * size]
    page = {"count": len(rows), "next": link(number + 1), "previous": link(number - 1)}
    return as_json({**page, "results": [view(row) for row in chosen]})


def _positive(call: Call, name: str, default: int) -> int:
    text = call.query.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise ApiError(404, {"detail": "Invalid page."})
    return int(text)
