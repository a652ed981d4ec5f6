"""What the tests of networks share."""

import numpy as np
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


@pytest.fixture(scope="module")
def pixels():
    """Inputs of `checkpoints`."""
    noise = np.random.default_rng(0).integers(0, 256, (11, 12, 8, 3), np.uint8)
    return noise.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """The file of a network by the name of its family."""
    from tests.trainers.exported_networks import FAMILIES, make_checkpoint

    folder = tmp_path_factory.mktemp("checkpoints")
    made = {}

    def make(name):
        if name not in made:
            made[name] = make_checkpoint(folder / f"{name}.ckpt", FAMILIES[name])
        return made[name]

    return make
