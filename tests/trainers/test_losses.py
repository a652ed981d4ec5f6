"""Losses against their formulas."""

import pytest
import torch
from torch.nn import functional

from trainers.losses import MAP_LOSSES, spatial_cross_entropy, squared_error, visibility_loss, weighted_mean


def _maps(stages=2, seed=0):
    random = torch.Generator().manual_seed(seed)
    maps = torch.randn(4, stages, 5, 8, 6, generator=random, requires_grad=True)
    targets = torch.rand(4, 5, 8, 6, generator=random)
    weights = torch.randint(0, 2, (4, 5), generator=random).float()
    weights[0] = torch.tensor([1.0, 2.0, 0.0, 0.5, 1.0])
    return maps, targets, weights


def test_squared_error_is_joints_mse_loss():
    """Xiao et al. (2018), lib/core/loss.py in words: half the mean square, joint by joint, all weights 1."""
    maps, targets, _ = _maps(stages=1)
    joints = [0.5 * functional.mse_loss(maps[:, 0, joint], targets[:, joint]) for joint in range(5)]
    expected = sum(joints) / 5
    assert weighted_mean(squared_error(maps, targets), torch.ones(4, 5)).item() == pytest.approx(expected.item())


def test_cross_entropy_is_torchs_and_nothing_when_perfect():
    maps, targets, _ = _maps()
    shares = targets.flatten(2) / targets.flatten(2).sum(-1, keepdim=True)
    expected = functional.cross_entropy(maps[:, 0].flatten(2).flatten(0, 1), shares.flatten(0, 1), reduction="none")
    entropy = -(shares * shares.log()).sum(-1).flatten()
    got = spatial_cross_entropy(maps, targets)[:, 0].flatten()
    torch.testing.assert_close(got, expected - entropy)
    perfect = spatial_cross_entropy(targets.log()[:, None] + 3, targets)
    assert perfect.abs().max() < 1e-5


@pytest.mark.parametrize("kind", MAP_LOSSES)
@pytest.mark.parametrize("hardest", [None, 2])
def test_unlabelled_joints_weigh_nothing(kind, hardest):
    maps, targets, weights = _maps()
    weighted_mean(MAP_LOSSES[kind](maps, targets), weights, hardest).backward()
    touched = maps.grad.abs().sum(dim=(1, 3, 4)) > 0
    assert not (touched & (weights == 0)).any()
    if hardest is None:
        assert (touched == (weights > 0)).all()
    else:
        assert (touched.sum(dim=1) <= 2 * 2).all()  # two stages may find others hardest


def test_hardest_are_those_with_the_largest_loss():
    losses = torch.tensor([[[5.0, 1.0, 3.0, 2.0]]])
    weights = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    assert weighted_mean(losses, weights, 2).item() == pytest.approx((5 + 3) / 2)
    assert weighted_mean(losses, weights, 4).item() == pytest.approx((5 + 1 + 3) / 3)


def test_stages_are_added():
    losses = torch.ones(2, 6, 3)
    assert weighted_mean(losses, torch.ones(2, 3)).item() == pytest.approx(6)


def test_nothing_labelled_is_no_loss():
    maps, targets, _ = _maps()
    for kind, loss in MAP_LOSSES.items():
        value = weighted_mean(loss(maps, torch.zeros_like(targets)), torch.zeros(4, 5))
        assert value.item() == 0, kind


def test_visibility_counts_labelled_joints():
    logits = torch.tensor([[4.0, -4.0, 9.0]])
    visible, weights = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.5, 0.0]])
    expected = functional.softplus(torch.tensor(-4.0))
    assert visibility_loss(logits, visible, weights).item() == pytest.approx(expected.item(), rel=1e-4)
