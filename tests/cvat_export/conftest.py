"""A stand-in CVAT server, logged in through the environment."""

import pytest

from cvat_export import retrying
from demo.cvat_standin import StandInServer


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retrying, "pause", lambda number, retry_after=0.0: 0.0)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("CVAT_USERNAME", "CVAT_PASSWORD", "CVAT_ORGANIZATION"):
        monkeypatch.delenv(name, raising=False)
    with StandInServer() as running:
        monkeypatch.setenv("CVAT_HOST", running.url)
        monkeypatch.setenv("CVAT_ACCESS_TOKEN", running.token)
        yield running
