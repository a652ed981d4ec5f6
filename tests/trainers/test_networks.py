"""Counts against the papers', shapes of every family, and what is said where a network cannot be built."""

import re
import sys

import pytest

from trainers.errors import TrainersError

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
from torch.nn import functional  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from trainers.networks import NETWORKS, PoseNetwork, build_network  # noqa: E402
from trainers.networks.pyramid import doubled  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

INPUT = (192, 256)
SMALL = {  # a small member of each family: name -> (backbone, options)
    "simple-baseline": ("test_resnet", {"deconvolution_filters": 16}),
    "hrnet": ("hrnet_w18_small", {}),
    "cpm": (None, {"stages": 3, "normalisation": "batch", "shared_features": True}),
    "lite-fpn": ("mobilenetv4_conv_small_035", {"width": 16}),
}
STRIDES = {"simple-baseline": 4, "hrnet": 4, "cpm": 8, "lite-fpn": 4}


def small(name, channels=5, input_size=(64, 96)):
    backbone, options = SMALL[name]
    return build_network(name, channels, input_size, backbone, options)


def on_meta(name, channels, backbone=None, **options):
    """The network without memory for its weights: shapes and counts only."""
    with torch.device("meta"):
        return build_network(name, channels, INPUT, backbone, options).eval()


def parameters_in_millions(network):
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def multiply_adds(network):
    """By operator, for one image, in the papers' unit of 2 ** 30."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, INPUT[1], INPUT[0], device="meta"))
    return counter.get_total_flops() / 2 / 2**30


@pytest.mark.parametrize(("backbone", "millions", "giga"), [("hrnet_w32", 28.5, 7.1), ("hrnet_w48", 63.6, 14.6)])
def test_hrnet_has_the_papers_counts(backbone, millions, giga):
    """Sun et al., 2019, table 1."""
    network = on_meta("hrnet", 17, backbone)
    assert parameters_in_millions(network) == pytest.approx(millions, rel=0.005)
    assert multiply_adds(network) == pytest.approx(giga, rel=0.005)


def test_simple_baseline_has_the_papers_counts():
    """Xiao et al., 2018, as Sun et al., 2019, table 1, count it: a deconvolution's kernel at each cell it gives."""
    network = on_meta("simple-baseline", 17)
    assert parameters_in_millions(network) == pytest.approx(34.0, rel=0.005)
    head = [(8 * 6, 2048), (16 * 12, 256), (32 * 24, 256)]
    uncounted = sum(3 * cells * before * 256 * 16 for cells, before in head) / 2**30
    assert multiply_adds(network) + uncounted == pytest.approx(8.9, rel=0.015)


@pytest.mark.parametrize(("shared", "millions"), [(False, 41.96), (True, 30.81)])
def test_cpm_has_the_counts_of_figure_2(shared, millions):
    first = 81 * (3 + 128 + 128) * 128 + 25 * 128 * 32  # image features
    head = 81 * 32 * 512 + 512 * 512 + 512 * 16
    later = 121 * (32 + 16 + 128 + 128) * 128 + 128 * 128 + 128 * 16
    biases_apart = first + head + 5 * later + (1 if shared else 5) * first
    network = on_meta("cpm", 16, shared_features=shared)
    weights = sum(parameter.numel() for parameter in network.parameters() if parameter.dim() == 4)
    assert weights == biases_apart
    assert parameters_in_millions(network) == pytest.approx(millions, rel=0.005)


def test_lite_fpn_is_small():
    network = on_meta("lite-fpn", 17)
    assert parameters_in_millions(network) == pytest.approx(1.36, abs=0.05)
    assert multiply_adds(network) < 0.25


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_have_the_familys_stride_and_any_batch(name):
    network = small(name).eval()
    stride = STRIDES[name]
    with torch.no_grad():
        one, three = (network(torch.zeros(rows, 3, 96, 64)) for rows in (1, 3))
    stages = (3,) if name == "cpm" else ()
    assert one.shape == (1, *stages, 5, 96 // stride, 64 // stride)
    assert three.shape == (3, *stages, 5, 96 // stride, 64 // stride)


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_begin_near_zero_and_every_layer_learns(name):
    torch.manual_seed(0)
    network = small(name)
    assert all(module.training for module in network.modules())
    maps = network(torch.randn(2, 3, 96, 64))
    assert maps.abs().max() < (0.5 if name == "cpm" else 0.1)
    functional.mse_loss(maps, torch.rand_like(maps)).backward()
    assert [key for key, value in network.named_parameters() if value.grad is None] == []
    assert all(value.grad.isfinite().all() for value in network.parameters())


@pytest.mark.parametrize("name", [pytest.param("cpm", marks=pytest.mark.slow), "hrnet", "lite-fpn", "simple-baseline"])
def test_a_small_network_learns_two_images_by_heart(name):
    torch.manual_seed(1)
    network = small(name, channels=2, input_size=(64, 64))
    images = torch.randn(2, 3, 64, 64)
    targets = torch.zeros_like(network(images))
    targets[0, ..., 0, 3, 4] = targets[0, ..., 1, 5, 2] = targets[1, ..., 0, 6, 6] = targets[1, ..., 1, 1, 5] = 1
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        losses.append(functional.mse_loss(network(images), targets) * targets[0].numel())
        losses[-1].backward()
        optimiser.step()
    assert losses[-1].item() < 0.5 * losses[0].item()


def test_lite_fpn_takes_sides_that_are_no_multiple_of_32():
    network = small("lite-fpn", input_size=(36, 100)).eval()
    assert network(torch.zeros(1, 3, 100, 36)).shape == (1, 5, 25, 9)


@pytest.mark.parametrize("levels", [3, 4])
def test_lite_fpn_keeps_the_names_that_checkpoints_hold(levels):
    network = build_network("lite-fpn", 5, (64, 64), SMALL["lite-fpn"][0], {"width": 16, "levels": levels})
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    separable = ["0.weight", *(f"1.{name}" for name in norm), "2.weight", *(f"3.{name}" for name in norm)]
    expected = ["final_layer.weight", "final_layer.bias", *(f"last.{name}" for name in separable)]
    expected += [f"laterals.{level}.{name}" for level in range(levels) for name in separable[:6]]
    expected += [f"smoothers.{level}.{name}" for level in range(levels - 1) for name in separable]
    backbone = [f"backbone.{name}" for name in network.backbone.state_dict()]
    assert "backbone.model.blocks.0.0.conv.weight" in backbone
    assert sorted(network.state_dict()) == sorted(expected + backbone)


def test_lite_fpn_adds_levels_from_the_coarsest_down():
    network = small("lite-fpn", input_size=(36, 100)).eval()
    images = torch.rand(1, 3, 100, 36)
    with torch.no_grad():
        levels = [lateral(found) for lateral, found in zip(network.laterals, network.backbone(images), strict=True)]
        merged = levels[3]
        for fine, smoother in ((2, 0), (1, 1), (0, 2)):
            rows, columns = levels[fine].shape[2:]
            seen = [[merged[..., y // 2, x // 2] for x in range(columns)] for y in range(rows)]
            above = torch.stack([torch.stack(row, dim=-1) for row in seen], dim=-2)
            merged = network.smoothers[smoother]((levels[fine] + above).relu())
        torch.testing.assert_close(network(images), network.final_layer(network.last(merged)))


def test_coarse_cells_stay_where_they_are():
    fine = doubled(torch.arange(6.0).reshape(1, 1, 2, 3), torch.zeros(1, 1, 3, 5))
    assert fine[0, 0].tolist() == [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]


def test_cpm_stages_see_the_maps_before_them():
    network = small("cpm").eval()
    images = torch.rand(1, 3, 96, 64)
    before = network(images)
    with torch.no_grad():
        network.first[-1].bias += 1
    after = network(images)
    assert (before != after).flatten(2).any(dim=2).all()


@pytest.mark.parametrize("normalisation", ["none", "batch", "group", "instance"])
def test_cpm_has_layers_to_choose(normalisation):
    network = build_network("cpm", 3, (64, 64), options={"stages": 2, "normalisation": normalisation, "dropout": 0.2})
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 2, 3, 8, 8)


def test_a_transformer_with_a_pyramid_is_a_backbone():
    with torch.device("meta"):
        network = build_network("simple-baseline", 2, (96, 64), "swin_tiny_patch4_window7_224")
        assert network(torch.zeros(1, 3, 64, 96)).shape == (1, 2, 16, 24)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("simple-basline", 3, INPUT), "did you mean 'simple-baseline'"),
        (("???", 3, INPUT), "There are simple-baseline, hrnet, cpm, lite-fpn"),
        (("simple-baseline", 3, INPUT, "resnet05"), "did you mean .*resnet50"),
        (("simple-baseline", 3, INPUT, "hf_hub:a/b"), "timm .* has none of this name"),
        (("simple-baseline", 3, INPUT, "local-dir:x"), "timm .* has none of this name"),
        (("simple-baseline", 3, INPUT, "vit_tiny_patch16_224"), "no feature maps of stride 32; it has 16"),
        (("lite-fpn", 3, INPUT, "vit_tiny_patch16_224"), "no feature maps of stride 4"),
        (("simple-baseline", 3, (200, 256)), "width: got 200, expected a multiple of 32, such as 192"),
        (("hrnet", 3, (192, 250)), "height: got 250"),
        (("hrnet", 3, INPUT, "resnet50"), "expected one of hrnet_w18"),
        (("hrnet", 3, INPUT, "hrnet_w33"), "did you mean .*hrnet_w32"),
        (("cpm", 3, INPUT, "resnet50"), "unknown option 'backbone'; it has stages"),
        (("cpm", 3, INPUT, None, {"stages": 0}), "stages: got 0"),
        (("cpm", 3, INPUT, None, {"normalisation": "layer"}), "got 'layer', expected none, batch"),
        (("cpm", 3, INPUT, None, {"dropout": 1}), "dropout: got 1"),
        (("lite-fpn", 3, INPUT, None, {"levels": 2}), "levels 2"),
        (("lite-fpn", 3, INPUT, None, {"widht": 2}), "unknown option 'widht'; it has backbone, width, levels"),
        (("no.such.module:build", 3, INPUT), "'no.such.module' cannot be imported"),
        (("math:no_such", 3, INPUT), "module math has no 'no_such'"),
        (("math:pi", 3, INPUT), "got float, expected a function"),
        (("own_networks:no_module", 3, INPUT), "returned str, expected a torch.nn.Module"),
        (("own_networks:wrong_shape", 3, INPUT), r"got \(2, 7, 256, 192\), expected \(2, 3, 256 / s, 192 / s\)"),
        (("own_networks:tuple_out", 3, INPUT), "got tuple"),
    ],
)
def test_what_cannot_be_built_is_said(own_networks, arguments, said):
    with pytest.raises(TrainersError) as caught:
        build_network(*arguments)
    assert re.search(said, str(caught.value))


def test_a_users_own_network(own_networks):
    network = build_network("own_networks:plain", 3, INPUT, options={"kernel": 5})
    assert network.weight.shape == (3, 3, 5, 5)
    assert network.training


def test_pose_network_gives_the_last_stage_and_weighs_visibility_by_place():
    maps = torch.zeros(1, 2, 4, 3, 3)  # one image, two stages, two joints and their evidence
    maps[0, 1, 0, 1, 1] = 50.0
    maps[0, 1, 2, 1, 1], maps[0, 1, 2, 0, 0] = 7.0, -99.0
    maps[0, 1, 3] = 2.0
    network = PoseNetwork(Constant(maps.requires_grad_()), joints=2, predicts_visibility=True)
    stages, visibility = network.stages(torch.zeros(1, 3, 9, 9))
    assert stages.shape == (1, 2, 2, 3, 3)
    torch.testing.assert_close(visibility, torch.tensor([[7.0, 2.0]]))
    heatmaps, same = network(torch.zeros(1, 3, 9, 9))
    assert torch.equal(heatmaps, maps[:, 1, :2]) and torch.equal(same, visibility)
    visibility.sum().backward()
    assert maps.grad[0, :, :2].abs().max() == 0
    assert maps.grad[0, 1, 2:].abs().max() > 0


def test_pose_network_of_one_stage_without_visibility():
    maps = torch.rand(2, 4, 3, 3)
    network = PoseNetwork(Constant(maps), joints=4)
    stages, visibility = network.stages(torch.zeros(2, 3, 9, 9))
    assert stages.shape == (2, 1, 4, 3, 3) and visibility is None
    assert torch.equal(network(torch.zeros(2, 3, 9, 9)), maps)


class Constant(torch.nn.Module):
    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, images):
        return self.maps


@pytest.fixture
def own_networks(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(
        "import torch\n"
        "def plain(channels, input_size, kernel=3):\n"
        "    return torch.nn.Conv2d(3, channels, kernel, padding=kernel // 2)\n"
        "def wrong_shape(channels, input_size):\n    return torch.nn.Conv2d(3, 7, 1)\n"
        "def no_module(channels, input_size):\n    return 'maps'\n"
        "class Pair(torch.nn.Module):\n    def forward(self, images):\n        return images, images\n"
        "def tuple_out(channels, input_size):\n    return Pair()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_networks", None)
