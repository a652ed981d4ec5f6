"""`annotator review` as a process, and a headless browser on its App."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from tests.annotator.browser import until

LOOKER = '[data-cy="looker"]'
GRID, MODAL = np.s_[150:, 310:], np.s_[70:760, 45:1100]  # where pictures are on the screen; the sidebar has colours too
_WAIT_SECONDS = 180  # also beside other work
_STILL = 4  # looks, a second apart


def environment(home: Path) -> dict[str, str]:
    """Nothing of the user's FiftyOne is touched, and nothing is in its way."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("FIFTYONE_")}
    places = {"FIFTYONE_DATABASE_DIR": str(home / "database"), "FIFTYONE_CONFIG_PATH": str(home / "config.json")}
    return {**own, **places, "HOME": str(home)}


def review(home: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, until its end."""
    command = _command(words)
    return subprocess.run(command, env=environment(home), capture_output=True, text=True, timeout=120, check=False)


@contextmanager
def opened(home: Path, *words: str | Path) -> Iterator[dict]:
    """What the command says of its App, which ends with Ctrl-C, and its database with it."""
    command = _command((*words, "--no-browser", "--json"))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment(home), **pipes) as app:
        try:
            line = app.stdout.readline()
            assert line, app.stderr.read()
            yield json.loads(line)
        finally:
            app.send_signal(signal.SIGINT)
            try:
                code = app.wait(60)
            finally:
                app.kill()
        assert code == 0, app.stderr.read()
        _await(lambda: not databases(home), "mongod to end")


def databases(home: Path) -> list[str]:
    """The MongoDB processes that run on this home's data."""
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in found if "mongod" in line and str(home / "database") in line]


class Window:
    """A browser that shows the App."""

    def __init__(self, driver, url: str) -> None:
        self.driver = driver
        _await(lambda: self._goes_to(url), url)
        self.all(LOOKER)
        _await(
            lambda: not self.driver.find_elements("css selector", '[data-cy="looker"] [class*="loading"]'), "pictures"
        )
        self.settle()
        for button in driver.find_elements("xpath", '//*[text()="Dismiss"]'):
            button.click()

    def _goes_to(self, url: str) -> bool:
        from selenium.common.exceptions import WebDriverException

        try:
            self.driver.get(url)
        except WebDriverException as error:
            if "ERR_CONNECTION_REFUSED" not in str(error):
                raise
            return False
        return True

    def settle(self) -> None:
        """Until pictures and labels are drawn: a canvas does not say, so that what is seen has to stay the same."""
        seen: list[bytes] = []

        def is_still() -> bool:
            time.sleep(1)
            seen.append(self.driver.get_screenshot_as_png())
            return len(seen) > _STILL and len(set(seen[-_STILL:])) == 1

        _await(is_still, "the page to come to rest")

    def all(self, selector: str) -> list:
        _await(lambda: self.driver.find_elements("css selector", selector), selector)
        return self.driver.find_elements("css selector", selector)

    def click(self, selector: str) -> None:
        self.driver.execute_script("arguments[0].click()", self.all(selector)[0])
        time.sleep(0.5)

    def picture(self, path: Path) -> np.ndarray:
        """What is on the screen, RGB."""
        assert self.driver.save_screenshot(str(path))
        if folder := os.environ.get("ANNOTATOR_SCREENSHOTS"):
            shutil.copy(path, folder)
        return cv2.imread(str(path))[:, :, ::-1]

    def tag_first(self, tag: str) -> None:
        """Tag the first sample, as a person does."""
        from selenium.webdriver.common.keys import Keys

        self.click('[data-cy="looker-checkbox-input-"]')
        self.click('[data-cy="action-tag-sample-labels"] button, [data-cy="action-tag-sample-labels"]')
        field = self.all('[data-cy="tagger-container"] input, input[placeholder*="tag"]')[-1]
        field.send_keys(tag, Keys.ENTER)
        time.sleep(1)
        apply = self.driver.find_elements("xpath", '//*[text()="Apply"]')
        if apply:
            apply[-1].click()
        time.sleep(2)


def count_colour(pixels: np.ndarray, colour: str, within: int = 40) -> int:
    """How many pixels are nearly of a colour, `#rrggbb`."""
    return len(colour_places(pixels, colour, within)[0])


def colour_places(pixels: np.ndarray, colour: str, within: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of these."""
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return np.nonzero(np.abs(pixels.astype(int) - wanted).max(axis=2) <= within)


def _command(words) -> list[str]:
    return [str(Path(sys.executable).with_name("annotator")), "review", *map(str, words)]


def _await(condition, what: str) -> None:
    until(condition, what, _WAIT_SECONDS, pause=0.2)
