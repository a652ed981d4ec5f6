"""What every test may ask for, and why a test was skipped."""

import os
import shutil
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the program does: tests run side by side

# How fast examples are drawn depends on who else uses the machine, and says nothing about the project.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

SHARED_DATA = Path(os.environ.get("ANNOTATOR_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real videos, images and models; see CONTRIBUTING.md."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no shared data at {SHARED_DATA} (set ANNOTATOR_SHARED_DATA)")
    return SHARED_DATA


@pytest.fixture(scope="session")
def ffprobe() -> str:
    """The independent reader of videos that the tests compare with."""
    return _tool("ffprobe")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser in which the tests look at pages."""
    return _tool("chromium")


@pytest.fixture(scope="session")
def chromedriver() -> str:
    """What drives the browser."""
    pytest.importorskip("selenium", reason="selenium is not installed")
    return _tool("chromedriver")


@pytest.fixture(scope="session")
def headless(chromium, chromedriver):
    """A headless Chromium with Selenium's driver, given the flags beyond the usual ones; ends with the block."""
    from tests.annotator.browser import headless

    return partial(headless, chromium, chromedriver)


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A stand-in for CVAT, logged in through the environment; commands run in `tmp_path`."""
    from cvat_export import retrying
    from demo.cvat_standin import StandInServer

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retrying, "pause", lambda number, retry_after=0.0: 0.0)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("CVAT_USERNAME", "CVAT_PASSWORD", "CVAT_ORGANIZATION"):
        monkeypatch.delenv(name, raising=False)
    with StandInServer() as running:
        monkeypatch.setenv("CVAT_HOST", running.url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", running.token)
        yield running


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        message = f"{name} is not installed (apt-get install ffmpeg chromium chromium-driver)"
        if os.environ.get("CI"):
            pytest.fail(message)  # in CI a missing oracle is a failure: skipping it would prove nothing
        pytest.skip(message)
    return path
