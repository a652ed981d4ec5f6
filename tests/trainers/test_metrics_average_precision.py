"""OKS AP and AR against pycocotools."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvat_export.skeleton import read_skeleton
from tests.trainers.coco_oracle import coco_verdict, random_people, tables
from trainers.metrics.average_precision import average_precision, resample_ap, summarise_matches
from trainers.metrics.oks_matching import match_by_oks

COCO = np.array(read_skeleton("coco17").sigmas)

# Few positions, few sizes, few scores: so that similarities and scores are often equal.
places = st.sampled_from([0.0, 4.0, 10.0, 30.0])
sides = st.sampled_from([5.0, 32.0, 40.0, 96.0, 120.0])
scores = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@st.composite
def _people(draw):
    joints, images = draw(st.integers(1, 10)), draw(st.integers(1, 3))
    point = st.tuples(places, places)
    pose = st.lists(point, min_size=joints, max_size=joints)
    flags = st.lists(st.sampled_from([0, 1, 2, 2]), min_size=joints, max_size=joints)
    box = st.tuples(places, places, sides, sides)
    truth, results = [], []
    for image_id in range(1, images + 1):
        for _ in range(draw(st.integers(0, 4))):
            seen = draw(flags)
            xyv = [value for (x, y), v in zip(draw(pose), seen, strict=True) for value in (x, y, v)]
            bbox = draw(box)
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": list(bbox),
                    "area": draw(st.sampled_from([bbox[2] * bbox[3], 500.0, 1024.0, 9216.0])),
                    "iscrowd": draw(st.sampled_from([0, 0, 0, 1])),
                    "keypoints": xyv,
                    "num_keypoints": sum(v > 0 for v in seen),
                }
            )
        for _ in range(draw(st.sampled_from([0, 1, 2, 3, 5, 23]))):
            xyv = [value for x, y in draw(pose) for value in (x, y, 1)]
            results.append(
                {
                    "image_id": image_id,
                    "category_id": 1,
                    "bbox": list(draw(box)),
                    "keypoints": xyv,
                    "score": draw(scores),
                }
            )
    return images, truth, results, joints


@settings(max_examples=150)
@given(_people(), st.sampled_from([0.03, 0.1, 0.5]))
def test_equal_to_pycocotools_on_ties_crowds_and_nobody(people, sigma):
    images, truth, results, joints = people
    sigmas = np.linspace(sigma, 2 * sigma, joints)
    wanted = coco_verdict(images, truth, results, sigmas)
    assert average_precision(*tables(truth, results, joints), sigmas) == pytest.approx(wanted, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("seed", range(20))
def test_equal_to_pycocotools_on_many_people(seed):
    truth, results = random_people(seed, images=100)
    wanted = coco_verdict(100, truth, results, COCO)
    assert 0.05 < wanted["AP"] < 0.95  # else nothing is compared
    assert average_precision(*tables(truth, results, 17), COCO) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.shared_data
def test_equal_to_pycocotools_on_real_people(shared_data):
    (path,) = (shared_data / "coco_people" / "annotations").glob("*val*.json")
    content = json.loads(path.read_text())
    number = {image["id"]: place + 1 for place, image in enumerate(sorted(content["images"], key=lambda i: i["id"]))}
    truth = [{**row, "image_id": number[row["image_id"]]} for row in content["annotations"]]
    for row in truth:
        row["keypoints"] = row.get("keypoints") or [0] * 51
    rng = np.random.default_rng(0)
    results = []
    for row in truth:
        noise = rng.normal(0, np.sqrt(row["area"]) * rng.choice([0.02, 0.1]), (17, 3)) * (1, 1, 0)
        keypoints = (np.reshape(row["keypoints"], (17, 3)) + noise).ravel().tolist()
        results.append({**row, "keypoints": keypoints, "score": round(float(rng.random()), 2)})
    wanted = coco_verdict(len(number), truth, results, COCO)
    assert 0.1 < wanted["AP"] < 0.9
    assert average_precision(*tables(truth, results, 17), COCO) == pytest.approx(wanted, abs=1e-9)


def test_an_estimate_that_is_nan_is_like_nothing():
    truth, results = random_people(3, images=5)
    ours, theirs = tables(truth, results, 17)
    theirs.xy[:] = np.nan
    assert average_precision(ours, theirs, COCO)["AR"] == 0


def test_resamples_count_images_as_often_as_they_were_drawn():
    truth, results = random_people(7, images=30)
    table = match_by_oks(*tables(truth, results, 17), COCO)
    whole = summarise_matches(table)
    for name, (value,) in resample_ap(table, np.ones((1, 30), int)).items():
        assert value == pytest.approx(whole[name], abs=1e-12)
    weights = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), size=1)
    copies = [image for image, count in enumerate(weights[0]) for _ in range(count)]
    again = [
        [
            {**row, "image_id": place + 1}
            for place, image in enumerate(copies)
            for row in rows
            if row["image_id"] == image + 1
        ]
        for rows in (truth, results)
    ]
    for number, row in enumerate(again[1]):
        row["score"] += 1e-9 * number  # no ties: only there the order of copies is free
    drawn = average_precision(*tables(*again, 17), COCO)
    for name, (value,) in resample_ap(table, weights).items():
        assert value == pytest.approx(drawn[name], abs=0.005)
