"""The detector's layers, what they learn, and what an exporter makes of them."""

import math
import re

import pytest

from trainers.errors import TrainersError

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
from torch import nn  # noqa: E402

from trainers.detection.boxes import iou  # noqa: E402
from trainers.detection.losses import detection_loss  # noqa: E402
from trainers.detection.network import DetectorNetwork  # noqa: E402
from trainers.networks import build_network  # noqa: E402
from trainers.networks.lite_detector import LiteDetector  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (96, 64)
CELLS = 12 * 8 + 6 * 4 + 3 * 2
SMALL_BACKBONE = "mobilenetv4_conv_small_035"


def small():
    return LiteDetector(SIZE, SMALL_BACKBONE, width=16)


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_lite_detector_is_small():
    with torch.device("meta"):
        network = LiteDetector((416, 416))
    assert parameters(network) == 1_374_504
    assert parameters(network) - parameters(network.backbone) == 112_840


def test_maps_are_raw_values_of_three_strides_and_begin_at_the_prior():
    torch.manual_seed(5)
    with torch.no_grad():
        maps = small()(torch.randn(2, 3, 64, 96))
    assert [tuple(found.shape) for found in maps] == [(2, 5, 8, 12), (2, 5, 4, 6), (2, 5, 2, 3)]
    for found in maps:
        assert found[:, 0].sigmoid().mean().item() == pytest.approx(0.01, abs=0.005)
        assert found[:, 1:].mean().item() == pytest.approx(math.log(2), abs=0.2)


def test_the_backbones_names_are_those_of_lite_fpn():
    pose = build_network("lite-fpn", 4, SIZE, SMALL_BACKBONE).state_dict()
    theirs = {name: found for name, found in pose.items() if name.startswith("backbone.")}
    own = small()
    assert {name for name in own.state_dict() if name.startswith("backbone.")} == set(theirs)
    assert own.load_state_dict(theirs, strict=False).unexpected_keys == []
    stem = "backbone.model.conv_stem.weight"
    assert torch.equal(own.state_dict()[stem], pose[stem])


def test_every_layer_learns():
    torch.manual_seed(0)
    network = DetectorNetwork(small(), SIZE)
    logits, boxes = network.raw(torch.randn(2, 3, 64, 96))
    truth = torch.tensor([[[2.0, 2, 14, 14], [-30, -40, 126, 104]], [[40, 10, 70, 40], [60, 30, 90, 60]]])
    sum(_losses(network, logits, boxes, truth)).backward()
    assert [name for name, found in network.named_parameters() if found.grad is None] == []
    assert all(found.grad.isfinite().all() for found in network.parameters())
    assert (network.body.head.scales.grad != 0).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (((100, 64),), "lite-detector: input width: got 100, expected a multiple of 32, such as 96"),
        ((SIZE, SMALL_BACKBONE, 0), "lite-detector: width: got 0"),
        ((SIZE, "resnet05"), "did you mean .*resnet50"),
    ],
)
def test_what_cannot_be_built_is_said(arguments, said):
    with pytest.raises(TrainersError) as caught:
        LiteDetector(*arguments)
    assert re.search(said, str(caught.value))


def test_boxes_and_scores_are_of_the_cells_in_their_order():
    maps = [torch.full((1, 5, 64 // stride, 96 // stride), math.log(2)) for stride in (8, 16, 32)]
    maps[1][0, 0, 3, 4] = 2.0
    maps[1][0, 1:, 3, 4] = torch.tensor([1.0, 2.0, 0.5, 0.25]).log()
    network = DetectorNetwork(Constant(maps), SIZE)
    boxes, scores = network(torch.zeros(1, 3, 64, 96))
    assert boxes.shape == (1, CELLS, 4) and scores.shape == (1, CELLS)
    place = scores[0].argmax()
    assert scores[0, place].item() == pytest.approx(1 / (1 + math.exp(-2)))
    torch.testing.assert_close(boxes[0, place], torch.tensor([72.0 - 16, 56 - 32, 72 + 8, 56 + 4]))
    torch.testing.assert_close(boxes[0, 0], torch.tensor([4.0 - 16, 4 - 16, 4 + 16, 4 + 16]))
    assert network.state_dict() == {}
    assert network.outputs == {"boxes": (CELLS, 4), "scores": (CELLS,)}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_32_bit_boxes(dtype):
    maps = [torch.randn(1, 5, 64 // stride, 96 // stride).to(dtype) for stride in (8, 16, 32)]
    logits, boxes = DetectorNetwork(Constant(maps), SIZE).to(dtype).raw(torch.zeros(1, 3, 64, 96))
    same_logits, same_boxes = DetectorNetwork(Constant([found.float() for found in maps]), SIZE).raw(torch.zeros(1))
    assert torch.equal(logits, same_logits) and torch.equal(boxes, same_boxes)


def test_a_few_hundred_steps_find_the_boxes_of_a_batch():
    torch.manual_seed(1)
    truth = torch.tensor([[[6.0, 10, 31, 52], [40, 4, 56, 18]], [[13, 21, 59, 47], [0, 0, 0, 0]]])
    present = torch.tensor([[True, True], [True, False]])
    images = torch.zeros(2, 3, 64, 64)
    for image, place in present.nonzero().tolist():
        left, above, right, below = truth[image, place].int().tolist()
        images[image, :, above:below, left:right] = 1
    network = DetectorNetwork(TinyBody(), (64, 64))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=300)
    for _ in range(300):
        optimiser.zero_grad()
        sum(_losses(network, *network.raw(images), truth, present)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    boxes, scores = network.eval()(images)
    for image, place in present.nonzero().tolist():
        overlaps = iou(boxes[image], truth[image, place])
        best = torch.where(overlaps > 0.5, scores[image], 0).argmax()
        assert overlaps[best] > 0.9 and scores[image, best] > 0.5
        assert scores[image][iou(boxes[image][:, None], truth[image]).amax(dim=1) < 0.2].max() < 0.3


@pytest.fixture(scope="module")
def trained_looking():
    """A detector whose every tensor matters, in eval mode."""
    torch.manual_seed(4)
    network = DetectorNetwork(small(), SIZE)
    with torch.no_grad():
        for found in network.parameters():
            found.add_(0.05 * torch.randn_like(found))
        network(torch.randn(4, 3, 64, 96))
    return network.eval()


@pytest.mark.parametrize("exporter", ["trace", "export"])
def test_exported_with_any_batch_it_gives_the_same(trained_looking, exporter):
    example = torch.zeros(2, 3, 64, 96)
    if exporter == "trace":
        exported = torch.jit.trace(trained_looking, example, check_trace=False)
    else:
        shapes = ({0: torch.export.Dim("batch")},)
        exported = torch.export.export(trained_looking, (example,), dynamic_shapes=shapes).module()
    for rows in (1, 3):
        images = torch.randn(rows, 3, 64, 96)
        with torch.no_grad():
            expected, got = trained_looking(images), exported(images)
        assert got[0].shape == (rows, CELLS, 4) and got[1].shape == (rows, CELLS)
        for mine, theirs in zip(expected, got, strict=True):
            torch.testing.assert_close(theirs, mine)


def _losses(network, logits, boxes, truth, present=None):
    rows = len(truth)
    present = torch.ones(truth.shape[:2], dtype=torch.bool) if present is None else present
    ignored = torch.zeros(rows, 0, 4), torch.zeros(rows, 0, dtype=torch.bool)
    everybody = torch.zeros(rows, dtype=torch.bool)
    return detection_loss(logits, boxes, network.centres, truth, present, *ignored, everybody)


class Constant(nn.Module):
    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, images):
        return self.maps


class TinyBody(nn.Module):
    """Three levels without timm, each of which sees the whole of 64 x 64."""

    def __init__(self, width=24):
        super().__init__()

        def block(before, stride=2):
            convolution = nn.Conv2d(before, width, 3, stride, 1, bias=False)
            return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())

        self.finest = nn.Sequential(block(3), block(width), block(width), block(width, 1), block(width, 1))
        self.coarser = nn.ModuleList([block(width), block(width)])
        self.heads = nn.ModuleList(nn.Conv2d(width, 5, 1) for _ in range(3))
        for head in self.heads:
            nn.init.constant_(head.bias[:1], -math.log(99))

    def forward(self, images):
        levels = [self.finest(images)]
        for layer in self.coarser:
            levels.append(layer(levels[-1]))
        return [head(found) for head, found in zip(self.heads, levels, strict=True)]
