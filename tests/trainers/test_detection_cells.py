"""Places of cells, and boxes to raw values and back."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.errors import TrainersError

torch = pytest.importorskip("torch")

from trainers.detection.cells import decode_boxes, place_cells  # noqa: E402


def test_cells_lie_in_the_middle_of_their_squares_finest_first_row_by_row():
    centres, strides = place_cells((64, 32))
    expected = [
        (x * stride + stride / 2, y * stride + stride / 2, stride)
        for stride in (8, 16, 32)
        for y, x in itertools.product(range(32 // stride), range(64 // stride))
    ]
    assert torch.cat([centres, strides[:, None]], dim=1).tolist() == [list(cell) for cell in expected]


@pytest.mark.parametrize("size", [(64, 40), (0, 32), (36, 32)])
def test_sides_that_hold_no_whole_cells_are_refused(size):
    with pytest.raises(TrainersError, match=f"got {size[0]} x {size[1]}, expected multiples of the stride"):
        place_cells(size)


@given(st.lists(st.tuples(st.integers(0, 83), *[st.floats(0.01, 1000)] * 4), min_size=1, max_size=8))
def test_boxes_that_hold_their_centre_come_back(rows):
    """83: the last cell of a 64 x 64 input. Distances in strides."""
    centres, strides = place_cells((64, 64))
    cells, distances = torch.tensor([row[0] for row in rows]), torch.tensor([row[1:] for row in rows])
    centres, strides = centres[cells], strides[cells]
    reach = distances * strides[:, None]
    boxes = torch.cat([centres - reach[:, :2], centres + reach[:, 2:]], dim=1)[None]
    back = decode_boxes(encode_boxes(boxes, centres, strides), centres, strides)
    torch.testing.assert_close(back, boxes, rtol=1e-4, atol=1e-3)


@given(st.lists(st.tuples(*[st.floats(-4, 6)] * 4), min_size=1, max_size=8))
def test_raw_values_come_back(rows):
    raw = torch.tensor(rows, dtype=torch.float64)[None]
    centres, strides = (found[: len(rows)].double() for found in place_cells((64, 64)))
    torch.testing.assert_close(encode_boxes(decode_boxes(raw, centres, strides), centres, strides), raw)


def test_left_top_right_bottom():
    centres, strides = torch.tensor([[20.0, 40.0]]), torch.tensor([8.0])
    raw = torch.tensor([[[1.0, 2.0, 3.0, 0.5]]]).log()
    torch.testing.assert_close(decode_boxes(raw, centres, strides), torch.tensor([[[12.0, 24.0, 44.0, 44.0]]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_nothing_overflows(dtype):
    centres, strides = (found.to(dtype) for found in place_cells((640, 640)))
    raw = torch.tensor([-6e4, -20.0, 20.0, 6e4], dtype=dtype).expand(1, len(centres), 4)
    boxes = decode_boxes(raw, centres, strides)
    assert boxes.isfinite().all()
    assert (boxes[..., :2] <= boxes[..., 2:]).all()


def encode_boxes(boxes, centres, strides):
    """The inverse of `decode_boxes` for boxes that hold their cell's centre: (n, cells, 4) -> (n, cells, 4)."""
    distances = torch.cat([centres - boxes[..., :2], boxes[..., 2:] - centres], dim=-1) / strides[:, None]
    return distances.log()
