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


@pytest.fixture
def power_cut(monkeypatch):
    """Call it with the class of a training's steps: their n-th raises OSError. Gives the list of those begun."""

    def cut(steps, at):
        step, begun = steps.training_step, []

        def failing(self, batch, number):
            begun.append(number)
            if len(begun) == at:
                raise OSError("power cut")
            return step(self, batch, number)

        monkeypatch.setattr(steps, "training_step", failing)
        return begun

    return cut
