"""What the tests of networks share."""

import pytest


@pytest.fixture(scope="module")
def one_thread():
    """Layers as small as the tests' wait for each other where other tests keep the cores busy."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
