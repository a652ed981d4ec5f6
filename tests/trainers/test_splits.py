"""No group is on both sides, whatever the order of the samples; shares and folds are as near as groups allow."""

from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cvat_export.dataset import LabelledImage
from trainers.errors import TrainersError
from trainers.splits import image_groups, split_by_group

group_lists = st.lists(st.sampled_from("abcdefghij"), min_size=2, max_size=60)
shares = st.floats(0.05, 0.95)
seeds = st.integers(0, 5)


def _groups(names, rule="auto", source="s", **extra):
    images = [LabelledImage(name, 10, 10, (), extra) for name in names]
    return image_groups(images, rule, source)


@given(group_lists, shares, seeds)
def test_no_group_is_on_both_sides_and_neither_side_is_empty(groups, share, seed):
    assume(len(set(groups)) > 1)
    chosen = split_by_group(groups, share, seed)
    by_side = [{g for g, c in zip(groups, chosen, strict=True) if c == side} for side in (True, False)]
    assert by_side[0] and by_side[1] and not by_side[0] & by_side[1]


@given(group_lists, shares, seeds, st.randoms())
def test_the_order_of_the_samples_does_not_matter(groups, share, seed, random):
    assume(len(set(groups)) > 1)
    shuffled = random.sample(groups, len(groups))
    first = dict(zip(groups, split_by_group(groups, share, seed), strict=True))
    assert first == dict(zip(shuffled, split_by_group(shuffled, share, seed), strict=True))


@given(group_lists, shares, seeds)
def test_the_share_is_the_nearest_that_groups_allow(groups, share, seed):
    sizes = Counter(groups)
    assume(len(sizes) > 1)
    wanted = share * len(groups)
    possible = [sum(sizes[g] for g in some) for n in range(1, len(sizes)) for some in combinations(sizes, n)]
    got = int(split_by_group(groups, share, seed).sum())
    assert abs(got - wanted) == pytest.approx(min(abs(s - wanted) for s in possible))


def test_of_very_many_samples_the_share_is_near(monkeypatch):
    monkeypatch.setattr("trainers.splits._EXACT_CELLS", 0)
    groups = [f"g{n % 300}" for n in range(5000)] + ["large"] * 3000
    assert abs(split_by_group(groups, 0.1, 1).mean() - 0.1) < 0.003
    assert split_by_group(["a", "a", "b"], 0.01, 0).tolist() == [False, False, True]


@given(group_lists, seeds, st.integers(2, 5))
def test_each_sample_is_in_one_folds_validation(groups, seed, folds):
    sizes = Counter(groups)
    assume(len(sizes) >= folds)
    parts = np.array([split_by_group(groups, 0.1, seed, folds, fold) for fold in range(folds)])
    assert (parts.sum(axis=0) == 1).all()
    counts = parts.sum(axis=1)
    assert counts.min() > 0
    # Largest first into the emptiest: no fold exceeds the least by more than the largest group.
    assert counts.max() - counts.min() <= max(sizes.values())


def test_the_seed_decides_and_the_split_is_known():
    groups = [f"video {n}" for n in range(10)]
    chosen = {seed: np.flatnonzero(split_by_group(groups, 0.2, seed)).tolist() for seed in range(3)}
    # Written down once: another machine, Python or order of dictionaries must give the same.
    assert chosen == EXPECTED


EXPECTED = {0: [2, 7], 1: [1, 8], 2: [5, 8]}


@pytest.mark.parametrize(
    ("groups", "options", "words"),
    [
        ([], {}, "no samples"),
        (["a", "a"], {}, "time:10"),
        (["a", "b"], {"validation": 0}, "between 0 and 1"),
        (["a", "b"], {"validation": float("nan")}, "between 0 and 1"),
        (["a", "b"], {"folds": 3}, "expected 2 to 2"),
        (["a", "b"], {"folds": 1}, "expected 2 to 2"),
        (["a", "b"], {"folds": 2, "fold": 2}, "expected 0 to 1"),
    ],
)
def test_what_cannot_be_split_is_refused(groups, options, words):
    with pytest.raises(TrainersError, match=words):
        split_by_group(groups, **{"validation": 0.5, "seed": 0, **options})


def test_frames_of_one_video_belong_together():
    names = ["match-0f3a9c21-0.jpg", "match-0f3a9c21-512.jpg", "renamed-0f3a9c21-1024-00.jpg", "match-aaaaaaaa--3.png"]
    names += ["task7-3-match-0f3a9c21-15360000-12.jpg"]
    groups, notes = _groups(names)
    assert groups == ("video 0f3a9c21",) * 3 + ("video aaaaaaaa", "video 0f3a9c21") and notes == ()


def test_a_video_that_the_file_names_counts():
    assert _groups(["a.jpg", "b.jpg"], video_id=3) == (("video_id 3",) * 2, ())


def test_several_folders_are_groups_and_one_is_none():
    groups, notes = _groups(["day/1.jpg", "day/2.jpg", "night/1.jpg"])
    assert groups == ("folder day", "folder day", "folder night") and notes == ()
    groups, notes = _groups(["day/1.jpg", "day/2.jpg"])
    assert len(set(groups)) == 2 and "each of 2 images is a group of its own" in notes[0]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("image", ("image x/a_1.jpg", "image x/a_2.jpg", "image y/b_10.jpg")),
        ("folder", ("folder x", "folder x", "folder y")),
        ("file", ("file s",) * 3),
        (r"regex:(\w)_\d+", ("match a", "match a", "match b")),
        ("regex:/._", ("match /a_", "match /a_", "match /b_")),
        ("time:2", ("time s 1/2", "time s 1/2", "time s 2/2")),
    ],
)
def test_rules(rule, expected):
    assert _groups(["x/a_1.jpg", "x/a_2.jpg", "y/b_10.jpg"], rule) == (expected, ())


def test_time_counts_numbers_as_numbers_and_not_as_listed():
    groups, _ = _groups(["f10.jpg", "f2.jpg", "f1.jpg", "f9.jpg"], "time:2")
    assert groups == ("time s 2/2", "time s 1/2", "time s 1/2", "time s 2/2")


@given(st.integers(2, 80), st.data())
def test_blocks_of_time_are_consecutive_and_of_one_size(count, data):
    blocks = data.draw(st.integers(2, count))
    groups, _ = _groups([f"{n}.jpg" for n in range(count)], f"time:{blocks}")
    sizes = Counter(groups)
    assert len(sizes) == blocks and max(sizes.values()) - min(sizes.values()) <= 1
    assert sum(a != b for a, b in pairwise(groups)) == blocks - 1


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("video", "expected one of"),
        ("regex:", "expected one of"),
        ("regex:(", "not a regular expression"),
        ("regex:z", "does not match 'a.jpg'"),
        ("time:1", "2 to 2"),
        ("time:3", "2 to 2"),
        ("time:x", "expected one of"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(rule, words):
    with pytest.raises(TrainersError, match=words):
        _groups(["a.jpg", "b.jpg"], rule)
