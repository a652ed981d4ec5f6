"""FiftyOne's App, open on a dataset for as long as somebody looks."""

from __future__ import annotations

import socket
import sys
import time
import urllib.request
from contextlib import redirect_stdout
from types import TracebackType
from typing import TYPE_CHECKING, Any

from annotator.errors import AnnotatorError

if TYPE_CHECKING:
    from annotator.review.fiftyone_dataset import ReviewedDataset

DEFAULT_PORT = 5151

_ADDRESS = "127.0.0.1"  # nobody else's browser: the App has no password
_PORTS_TRIED = 20
_ANSWER_SECONDS = 120


class App:
    """FiftyOne's App on a dataset, as long as the block lasts. Raises AnnotatorError for a port that is taken.

    stdout: where results belong meanwhile. FiftyOne prints there while it waits for its server, whoever listens: for
    the block that goes to stderr.
    """

    def __init__(self, dataset: ReviewedDataset, port: int | None, browser: bool) -> None:
        self.dataset, self.port, self.browser = dataset, _free_port(port), browser
        self.stdout = sys.stdout
        self._elsewhere = redirect_stdout(sys.stderr)
        self._session: Any = None

    def __enter__(self) -> App:
        self._elsewhere.__enter__()
        self._session = self.dataset.launch_app(_ADDRESS, self.port, self.browser)
        try:
            _await_answer(self.url)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._session.close()
        self._elsewhere.__exit__(kind, error, at)

    @property
    def url(self) -> str:
        """Where the App shows the dataset."""
        return f"http://localhost:{self.port}/datasets/{self.dataset.dataset.slug}"

    def refresh(self) -> None:
        """Show what was computed since."""
        self._session.refresh()

    def wait(self) -> None:
        """Until Ctrl-C."""
        try:
            self._session.wait(-1)
        except KeyboardInterrupt:
            return


def _await_answer(url: str) -> None:
    """Until the App's server answers, which was launched and not waited for. Raises AnnotatorError if it never does."""
    ends = time.monotonic() + _ANSWER_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=_ANSWER_SECONDS).close()
            return
        except OSError as error:
            if time.monotonic() > ends:
                raise AnnotatorError(
                    f"{url}: FiftyOne's App has not answered for {_ANSWER_SECONDS} s: {error}; is the machine busy? "
                    "Try again, with another --port perhaps"
                ) from error
            time.sleep(0.2)


def _free_port(wanted: int | None) -> int:
    """The port that was asked for, or the first free one from FiftyOne's own on."""
    candidates = range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED) if wanted is None else (wanted,)
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_ADDRESS, port))
            except OSError:
                continue
            return port
    raise AnnotatorError(
        f"--port: {', '.join(map(str, candidates))} {'are' if wanted is None else 'is'} taken; choose another"
    )
