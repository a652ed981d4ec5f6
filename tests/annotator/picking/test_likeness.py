"""Near-duplicates of taken frames, against all distances."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from annotator.picking.likeness import Likeness
from frame_tools.novelty import NEAR_DUPLICATE, embed
from frame_tools.thumbnail import THUMBNAIL_SIZE


def analysis_of(levels, stride: int = 1, first_pts: int = 0) -> SimpleNamespace:
    """Frames as flat colours of those grey levels in chroma; every stride'th is a candidate."""
    thumbnails = np.full((len(levels), THUMBNAIL_SIZE), 128, np.uint8)
    thumbnails[:, 576:] = np.array(levels, np.uint8)[:, None]
    rows = np.arange(0, len(levels), stride)
    table = SimpleNamespace(pts=first_pts + 10 * np.arange(len(levels)))
    return SimpleNamespace(rows=rows, thumbnails=thumbnails[rows], table=table)


levels = st.lists(st.integers(0, 12).map(lambda level: 20 * level), min_size=1, max_size=20)


@given(levels, levels, st.data())
def test_spans_are_the_frames_within_the_limit(first, second, data):
    analyses = [analysis_of(first), analysis_of(second, first_pts=7)]
    everywhere = [(video, int(pts)) for video, item in enumerate(analyses) for pts in item.table.pts]
    taken = data.draw(st.lists(st.sampled_from(everywhere), max_size=4))
    vectors = embed(np.concatenate([item.thumbnails for item in analyses]))
    places = {place: number for number, place in enumerate(everywhere)}
    near = {
        place
        for place in everywhere
        if any(np.linalg.norm(vectors[places[place]] - vectors[places[t]]) <= NEAR_DUPLICATE for t in taken)
    }
    spans = Likeness(analyses).spans(taken)
    found = {(v, p) for v, p in everywhere for low, high in spans[v] if low <= p <= high}
    assert found == near


def test_a_candidate_stands_for_its_moment():
    likeness = Likeness([analysis_of([0, 0, 0, 100, 100, 100, 0, 0, 0], stride=4)])  # candidates 0, 4 and 8
    assert likeness.spans([(0, 10)]) == [[(0, 10), (60, 80)]]
    assert likeness.spans([(0, 30)]) == [[(20, 50)]]
    assert likeness.spans([]) == [[]]
