"""A detector's losses against their formulas, and what must not teach."""

import math

import pytest

torch = pytest.importorskip("torch")

from trainers.detection.assignment import assign  # noqa: E402
from trainers.detection.boxes import generalised_iou, hold, iou  # noqa: E402
from trainers.detection.cells import decode_boxes, place_cells  # noqa: E402
from trainers.detection.losses import detection_loss, varifocal_loss  # noqa: E402

SIZE = (64, 64)
CENTRES, STRIDES = place_cells(SIZE)
NONE = torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.bool)
EVERYBODY = torch.zeros(2, dtype=torch.bool)
TRUTH = torch.tensor([[[5.0, 9.0, 50.0, 40.0], [20.0, 30.0, 60.0, 62.0]], [[30.0, 3.0, 58.0, 33.0], [0.0, 0, 0, 0]]])
PRESENT = torch.tensor([[True, True], [True, False]])


def outputs(seed=0):
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, len(CENTRES), generator=random, requires_grad=True)
    raw = torch.randn(2, len(CENTRES), 4, generator=random, requires_grad=True)
    return logits, raw


def losses(logits, raw, truth=TRUTH, present=PRESENT, ignored=NONE, only_inside=EVERYBODY):
    boxes = decode_boxes(raw, CENTRES, STRIDES)
    return detection_loss(logits, boxes, CENTRES, truth, present, *ignored, only_inside)


def plain_giou(a, b):
    """Rezatofighi et al., 2019, algorithm 1, line by line."""
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    left, above, right, below = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    shared = (right - left) * (below - above) if right > left and below > above else 0.0
    around = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    union = area_a + area_b - shared
    return shared / union, shared / union - (around - union) / around


def test_giou_is_the_papers():
    random = torch.Generator().manual_seed(3)
    corners = torch.rand(2, 200, 2, generator=random, dtype=torch.float64) * 50
    first, second = torch.cat([corners, corners + 1 + 40 * torch.rand(2, 200, 2, generator=random)], dim=-1)
    expected = torch.tensor([plain_giou(*pair) for pair in zip(first.tolist(), second.tolist(), strict=True)])
    got = torch.stack([iou(first, second), generalised_iou(first, second)], dim=1)
    torch.testing.assert_close(got, expected.double(), rtol=1e-6, atol=1e-7)
    assert (expected[:, 0] == 0).any() and (expected[:, 0] > 0.3).any()


def test_giou_of_known_boxes():
    first = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 1, 1], [3, 3, 3, 3]])
    second = torch.tensor([[0.0, 0, 2, 2], [2, 0, 3, 1], [1, 0, 2, 1], [3, 3, 3, 3]])
    torch.testing.assert_close(generalised_iou(first, second)[:3], torch.tensor([1.0, -1 / 3, 0.0]))
    assert generalised_iou(first, second).isfinite().all()


def test_a_border_is_not_inside():
    inside = hold(torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[2.0, 2], [0, 2], [4, 2], [3.9, 3.9], [5, 2]]))
    assert inside.tolist() == [[True, False, False, True, False]]


def test_losses_are_those_of_loops():
    logits, raw = outputs()
    score_loss, box_loss = losses(logits, raw)
    boxes = decode_boxes(raw, CENTRES, STRIDES)
    assigned = assign(logits.sigmoid(), boxes, CENTRES, TRUTH, PRESENT)
    score_sum = box_sum = target_sum = 0.0
    for image in range(2):
        for cell in range(len(CENTRES)):
            q, p = assigned.scores[image, cell].item(), 1 / (1 + math.exp(-logits[image, cell].item()))
            entropy = -(q * math.log(p) + (1 - q) * math.log(1 - p))
            score_sum += q * entropy if q > 0 else 0.75 * p**2 * entropy
            if q > 0:
                truth = TRUTH[image, assigned.truth[image, cell]]
                box_sum += q * (1 - plain_giou(boxes[image, cell].tolist(), truth.tolist())[1])
            target_sum += q
    assert score_loss.item() == pytest.approx(score_sum / max(target_sum, 1), rel=1e-4)
    assert box_loss.item() == pytest.approx(box_sum / max(target_sum, 1), rel=1e-4)


def test_varifocal_is_least_where_score_and_target_agree():
    logits = torch.linspace(-6, 6, 1201)
    for target in (0.2, 0.7):
        found = logits[varifocal_loss(logits, torch.full_like(logits, target)).argmin()].sigmoid()
        assert found.item() == pytest.approx(target, abs=0.005)
    assert varifocal_loss(logits, torch.zeros_like(logits)).argmin() == 0


def test_ignored_boxes_teach_nothing_but_their_truths():
    ignored = torch.tensor([[[0.0, 0.0, 40.0, 64.0], [0.0, 0.0, 64.0, 64.0]]]).repeat(2, 1, 1)
    ignored_present = torch.tensor([[True, False], [False, False]])
    logits, raw = outputs()
    boxes = decode_boxes(raw, CENTRES, STRIDES)
    negative = assign(logits.sigmoid(), boxes, CENTRES, TRUTH, PRESENT).truth < 0
    sum(losses(logits, raw, ignored=(ignored, ignored_present))).backward()
    crowd = torch.stack([CENTRES[:, 0] < 40, torch.zeros(len(CENTRES), dtype=torch.bool)])
    assert (negative & crowd).sum() > 20
    assert torch.equal(logits.grad == 0, negative & crowd)
    assert (raw.grad[negative] == 0).all()


def test_where_not_everybody_has_a_box_only_cells_inside_boxes_teach():
    logits, raw = outputs()
    sum(losses(logits, raw, only_inside=torch.tensor([True, False]))).backward()
    inside = hold(TRUTH[0], CENTRES).any(dim=0)
    assert torch.equal(logits.grad[0] != 0, inside)
    assert (logits.grad[1] != 0).all()


def test_a_tiny_truth_teaches_outside_of_itself():
    """Its cell's centre lies in no truth box, and it is no negative."""
    logits, raw = outputs()
    truth, present = torch.tensor([[[45.0, 29.0, 47.0, 31.0]]]).repeat(2, 1, 1), torch.ones(2, 1, dtype=torch.bool)
    ignored = torch.tensor([[[0.0, 0.0, 64.0, 64.0]]]).repeat(2, 1, 1), present
    sum(losses(logits, raw, truth, present, ignored, only_inside=torch.tensor([True, True]))).backward()
    nearest = CENTRES.eq(torch.tensor([44.0, 28.0])).all(dim=1)
    assert torch.equal(logits.grad != 0, nearest.expand(2, -1))
    assert torch.equal((raw.grad != 0).any(dim=2), nearest.expand(2, -1))


@pytest.mark.parametrize("most", [0, 2])
@pytest.mark.parametrize("only_inside", [False, True])
def test_images_without_truth(most, only_inside):
    logits, raw = outputs()
    truth, present = torch.zeros(2, most, 4), torch.zeros(2, most, dtype=torch.bool)
    score_loss, box_loss = losses(logits, raw, truth, present, only_inside=torch.tensor([only_inside] * 2))
    (score_loss + box_loss).backward()
    assert box_loss == 0 and (score_loss == 0) == only_inside
    assert torch.equal(logits.grad != 0, torch.full_like(logits, not only_inside, dtype=torch.bool))
    assert raw.grad is None or (raw.grad == 0).all()


def test_logits_far_off_give_finite_gradients():
    logits, raw = outputs()
    far_logits, far_raw = (logits.detach() * 1e4).requires_grad_(), (raw.detach() * 20).requires_grad_()
    sum(losses(far_logits, far_raw)).backward()
    assert far_logits.grad.isfinite().all() and far_raw.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_32_bits(dtype):
    logits, raw = (found.detach().to(dtype) for found in outputs())
    boxes = decode_boxes(raw.float(), CENTRES, STRIDES).to(dtype)
    given = CENTRES, TRUTH, PRESENT, *NONE, EVERYBODY
    with torch.autocast("cpu", dtype=dtype):
        got = detection_loss(logits, boxes, *given)
    expected = detection_loss(logits.float(), boxes.float(), *given)
    assert [found.dtype for found in got] == [torch.float32] * 2
    assert [found.item() for found in got] == [found.item() for found in expected]
