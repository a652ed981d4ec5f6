"""Checkpoints of small networks that have learnt nothing, to be exported."""

from cvat_export.skeleton import Skeleton, describe_skeleton
from trainers.checkpoint import Checkpoint, NetworkSpec, write_checkpoint
from trainers.model_card import parse_card

INPUT = (64, 96)
FAMILIES = {
    "simple-baseline": NetworkSpec("simple-baseline", "test_resnet", {"deconvolution_filters": 16}),
    "hrnet": NetworkSpec("hrnet", "hrnet_w18_small", {}),
    "cpm": NetworkSpec("cpm", None, {"stages": 2, "shared_features": True, "normalisation": "group"}),
    "lite-fpn": NetworkSpec("lite-fpn", "mobilenetv4_conv_small_035", {"width": 16}, predicts_visibility=True),
}
SKELETON = Skeleton("three", ("nose", "left hand", "right hand"))


def make_checkpoint(path, spec, input_size=INPUT, **head):
    """A network that gives each image maps with peaks, though it has learnt nothing. head: keys of the card's."""
    import torch

    from trainers.networks import PoseNetwork, build_network

    torch.manual_seed(0)
    channels = 3 * (1 + spec.predicts_visibility)
    network = PoseNetwork(
        build_network(spec.name, channels, input_size, spec.backbone, spec.options), 3, spec.predicts_visibility
    )
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.out_channels == channels:
            torch.nn.init.kaiming_normal_(layer.weight)
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # one batch is enough
    with torch.no_grad():
        network.train()(torch.randn(4, 3, input_size[1], input_size[0]))
    visibility = {"output": "heatmaps", "visibility_output": "visibility"} if spec.predicts_visibility else {}
    content = {
        "name": spec.name,
        "skeleton": describe_skeleton(SKELETON),
        "input": {"width": input_size[0], "height": input_size[1], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
        "head": {"kind": "heatmap", "alignment": "half-pixel", **visibility, **head},
        "calibration": {"temperature": 2.0, "bias": -1.0},
    }
    write_checkpoint(path, Checkpoint(parse_card(content, "test"), spec, network.state_dict()))
    return path
