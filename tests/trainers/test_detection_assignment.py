"""Task-aligned assignment against loops over truths and cells."""

import pytest

torch = pytest.importorskip("torch")

from trainers.detection.assignment import assign  # noqa: E402
from trainers.detection.cells import decode_boxes, place_cells  # noqa: E402

SIZE = (96, 64)


def loop_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def loop_assign(scores, boxes, centres, truths, top, alpha, beta):
    """One image, in plain numbers: the truth of each cell, and its score."""
    overlap = [[loop_iou(truth, box) for box in boxes] for truth in truths]
    metric = [[scores[c] ** alpha * row[c] ** beta for c in range(len(boxes))] for row in overlap]
    claims = {}
    for g, (left, above, right, below) in enumerate(truths):
        inside = [c for c, (x, y) in enumerate(centres) if left < x < right and above < y < below]
        if not inside:
            middle = ((left + right) / 2, (above + below) / 2)
            away = [(x - middle[0]) ** 2 + (y - middle[1]) ** 2 for x, y in centres]
            inside = [away.index(min(away))]
        for cell in sorted(inside, key=lambda c: -metric[g][c])[:top]:
            claims.setdefault(cell, []).append(g)
    owner = {cell: max(found, key=lambda g: overlap[g][cell]) for cell, found in claims.items()}
    target = [0.0] * len(boxes)
    for g in range(len(truths)):
        mine = [cell for cell, found in owner.items() if found == g]
        highest = max((metric[g][cell] for cell in mine), default=0)
        for cell in mine:
            share = metric[g][cell] / highest if highest else 0
            target[cell] = share * max(overlap[g][other] for other in mine)
    return [owner.get(cell, -1) for cell in range(len(boxes))], target


def random_batch(seed, images=3, most=5):
    """Crowded truths of all sizes, some tiny, padded with boxes that would attract cells."""
    random = torch.Generator().manual_seed(seed)
    centres, strides = place_cells(SIZE)
    boxes = decode_boxes(torch.randn(images, len(centres), 4, generator=random), centres, strides)
    scores = torch.rand(images, len(centres), generator=random)
    corners = torch.rand(images, most, 2, generator=random) * torch.tensor([70.0, 45.0])
    sides = torch.rand(images, most, 2, generator=random).square() * 60 + 1
    truth = torch.cat([corners, corners + sides], dim=-1)
    present = torch.rand(images, most, generator=random) < 0.7
    present[0] = True
    return scores, boxes, centres, truth, present


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("top", "alpha", "beta"), [(10, 1.0, 6.0), (3, 0.5, 2.0), (500, 1.0, 1.0)])
def test_assignment_is_that_of_loops(seed, top, alpha, beta):
    scores, boxes, centres, truth, present = random_batch(seed)
    got = assign(scores, boxes, centres, truth, present, top, alpha, beta)
    for image in range(len(truth)):
        places = present[image].nonzero()[:, 0].tolist()
        truths = truth[image][places].double().tolist()
        expected, targets = loop_assign(
            *(found.double().tolist() for found in (scores[image], boxes[image], centres)), truths, top, alpha, beta
        )
        assert got.truth[image].tolist() == [places[place] if place >= 0 else -1 for place in expected]
        torch.testing.assert_close(got.scores[image], torch.tensor(targets), rtol=1e-3, atol=1e-6)


def test_a_truth_has_at_most_top_cells_and_its_highest_score_is_their_highest_iou():
    scores, boxes, centres, *_ = random_batch(7, images=1)
    truth = torch.tensor([[[10.0, 5.0, 90.0, 60.0]]])
    got = assign(scores, boxes, centres, truth, torch.ones(1, 1, dtype=torch.bool))
    mine = got.truth[0] == 0
    assert mine.sum() == 10
    highest = max(loop_iou(truth[0, 0].tolist(), box) for box in boxes[0][mine].tolist())
    assert got.scores[0].max().item() == pytest.approx(highest)
    assert got.scores[0][~mine].abs().max() == 0


def test_a_tiny_truth_takes_the_nearest_cell():
    scores, boxes, centres, *_ = random_batch(8, images=1)
    truth = torch.tensor([[[45.0, 29.0, 47.0, 31.0]]])  # between centres: the nearest is (44, 28), of stride 8
    got = assign(scores, boxes, centres, truth, torch.ones(1, 1, dtype=torch.bool))
    assert centres[got.truth[0] == 0].tolist() == [[44.0, 28.0]]


def test_a_cell_of_two_truths_goes_to_the_higher_iou():
    centres, _ = place_cells((32, 32), (32,))
    boxes = torch.tensor([[[4.0, 4.0, 28.0, 28.0]]])
    truth = torch.tensor([[[0.0, 0.0, 32.0, 32.0], [5.0, 5.0, 28.0, 28.0]]])
    got = assign(torch.full((1, 1), 0.5), boxes, centres, truth, torch.ones(1, 2, dtype=torch.bool))
    assert got.truth.tolist() == [[1]]
    assert got.scores.item() == pytest.approx((23 / 24) ** 2)


def test_an_iou_whose_sixth_power_is_no_32_bit_float_still_ranks():
    centres, _ = place_cells((64, 32), (32,))
    boxes = torch.tensor([[[15.995, 15.995, 16.005, 16.005], [47.99, 15.99, 48.01, 16.01]]])
    truth = torch.tensor([[[0.0, 0.0, 64.0, 32.0]]])
    got = assign(torch.full((1, 2), 1e-3), boxes, centres, truth, torch.ones(1, 1, dtype=torch.bool), top=1)
    assert got.truth.tolist() == [[-1, 0]]
    assert got.scores[0, 0] == 0 < got.scores[0, 1]


@pytest.mark.parametrize("most", [0, 3])
def test_without_truth_no_cell_has_one(most):
    scores, boxes, centres, *_ = random_batch(9)
    got = assign(scores, boxes, centres, torch.zeros(3, most, 4), torch.zeros(3, most, dtype=torch.bool))
    assert (got.truth == -1).all() and (got.scores == 0).all()


def test_nothing_is_differentiated():
    scores, boxes, centres, truth, present = random_batch(10)
    got = assign(scores.requires_grad_(), boxes.requires_grad_(), centres, truth, present)
    assert not got.scores.requires_grad
