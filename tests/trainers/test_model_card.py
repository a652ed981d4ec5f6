"""Cards: what they accept, what they refuse and how they say it, and whether they fit a model."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from cvat_export.skeleton import Skeleton, read_skeleton
from trainers.card_template import card_template
from trainers.errors import TrainersError
from trainers.model_card import (
    HeatmapHead,
    InputCard,
    card_from_metadata,
    dump_card,
    parse_card,
    pick_output,
    read_card,
)
from trainers.network_input import encode_input
from trainers.pose_decoding import check_card
from trainers.runtimes import TensorSpec
from trainers.runtimes.metadata import CARD_KEY

ROOT = Path(__file__).parents[2]
FLOAT, BYTE = np.dtype(np.float32), np.dtype(np.uint8)
CONTENT = {
    "name": "hrnet",
    "skeleton": "coco17",
    "input": {"width": 48, "height": 64},
    "head": {"kind": "heatmap", "alignment": "stride"},
}


class StubSession:
    """A model that gives zeros of the shapes it is told, for any batch."""

    runtime = device = precision = "stub"

    def __init__(self, input_shape, *output_shapes, dtype=FLOAT):
        self.inputs = (TensorSpec("images", input_shape, dtype),)
        self.outputs = tuple(TensorSpec(f"out{i}", (None, *shape), FLOAT) for i, shape in enumerate(output_shapes))
        self.metadata = {}

    def run(self, batch):
        return tuple(np.zeros((len(batch), *spec.shape[1:]), np.float32) for spec in self.outputs)


def _card(**changes):
    return parse_card(CONTENT | changes, where="test.yaml")


@pytest.mark.parametrize("path", sorted((ROOT / "tests/cards").glob("*.yaml")), ids=lambda path: path.name)
def test_a_written_card_comes_back(path):
    card = read_card(path)
    assert card_from_metadata({CARD_KEY: dump_card(card)}, where="model.onnx") == card


@pytest.mark.parametrize(
    "head",
    [
        {
            "kind": "heatmap",
            "alignment": "half-pixel",
            "output": "maps",
            "decoding": "quarter-offset",
            "background_channels": 1,
        },
        {"kind": "heatmap", "alignment": "half-pixel", "decoding": "expected-oks", "activation": "softmax"},
        {
            "kind": "simcc",
            "alignment": "stride",
            "x_output": 1,
            "y_output": 0,
            "split_ratio": 3,
            "activation": "softmax",
        },
        {"kind": "coordinates", "output": -1, "order": ["y", "x", "score"], "unit": "pixels"},
    ],
)
def test_every_head_comes_back(head):
    skeleton = {"name": "two", "joints": ["left_ear", "right_ear"], "aliases": {"left_ear": ["ear.L"]}}
    card = _card(head=head, skeleton=skeleton, metrics={"AP": 0.5})
    assert parse_card(json.loads(dump_card(card)), where="again") == card


def test_a_dumped_card_needs_no_skeleton_file():
    assert json.loads(dump_card(_card()))["skeleton"]["joints"] == list(read_skeleton("coco17").joints)


def test_a_skeleton_file_is_found_beside_the_card(tmp_path):
    (tmp_path / "mine.yaml").write_text("joints: [left_ear, right_ear]\n")
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(CONTENT | {"skeleton": "mine.yaml"}))
    assert read_card(tmp_path / "card.yaml").skeleton.flip_pairs == ((0, 1),)


def test_a_model_without_a_card_has_none():
    assert card_from_metadata({"names": "{}"}, where="model.onnx") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "rgb"}, "test.yaml: colour: unknown key, expected name, skeleton, input"),
        ({"input": {"width": 48, "height": 64, "mode": "rgb"}}, "input.mode: unknown key, expected width, height"),
        ({"input": {"width": 48}}, "input.height: is missing"),
        ({"input": {"width": "48", "height": 64}}, "input.width: got '48', expected a valid integer"),
        ({"input": {"width": 0, "height": 64}}, "input.width: got 0, expected greater than 0"),
        ({"input": {"width": 48, "height": 64, "colours": "gbr"}}, "input.colours: got 'gbr', expected 'rgb' or 'bgr'"),
        ({"input": {"width": 48, "height": 64, "std": [1, 0, 1]}}, "input.std: got 0.0, expected numbers above 0"),
        (
            {"input": {"width": 48, "height": 64, "dtype": "uint8", "mean": [0.5, 0, 0]}},
            "input.dtype: got uint8 with scale, mean or std",
        ),
        ({"head": {"kind": "offsets"}}, "head.kind: got offsets, expected heatmap, simcc or coordinates"),
        ({"head": {"kind": "heatmap"}}, "head.alignment: is missing"),
        (
            {
                "head": {
                    "kind": "heatmap",
                    "alignment": "stride",
                    "decoding": "expected-oks",
                    "activation": "sigmoid",
                }
            },
            "head.decoding: got expected-oks with activation sigmoid, after which maps are no probabilities; write",
        ),
        (
            {"head": {"kind": "heatmap", "alignment": "stride", "decoding": "best"}},
            "head.decoding: got 'best', expected 'argmax', 'quarter-offset', 'dark' or 'expected-oks'",
        ),
        ({"head": {"output": 0}}, "head.kind: got no kind, expected heatmap"),
        (
            {"head": {"kind": "heatmap", "alignment": "stride", "split_ratio": 2}},
            "head.split_ratio: unknown key, expected kind, output, layout",
        ),
        (
            {"head": {"kind": "heatmap", "alignment": "udp"}},
            "head.alignment: got 'udp', expected 'half-pixel', 'stride' or",
        ),
        (
            {"head": {"kind": "coordinates", "order": ["x", "score"]}},
            "head.order: got ['x', 'score'], expected x and y",
        ),
        ({"head": {"kind": "coordinates", "order": ["x", "y"], "rows": 5}}, "head.rows: got 5, expected at least 17"),
        ({"crop": {"border": [0, 0, 256]}}, "crop.border.2: got 256, expected less than or equal to 255"),
        ({"skeleton": "nobody"}, "test.yaml: skeleton: got 'nobody', expected one of blazepose33"),
        ({"skeleton": {"joints": ["a", "A"]}}, "test.yaml: skeleton: skeleton 'inline': "),
        ({"skeleton": 17}, "test.yaml: skeleton: got 17, expected a name or a mapping"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(changes, message):
    with pytest.raises(TrainersError) as raised:
        _card(**changes)
    assert message in str(raised.value)


def test_all_problems_are_said_at_once():
    with pytest.raises(TrainersError, match=r"input\.height: is missing; colour: .*; see docs/model-cards\.md"):
        _card(colour=1, input={"width": 3})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("card.yaml", "[1, 2]", "got list, expected the keys name, skeleton"),
        ("card.yaml", "a: [", "cannot be read as YAML"),
        ("card.json", "{", "cannot be read as JSON"),
        ("card.yaml", "", "got NoneType"),
    ],
)
def test_what_is_no_card_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(TrainersError, match=re.escape(message)):
        read_card(tmp_path / name)


def test_a_missing_card_and_a_damaged_one_in_a_model(tmp_path):
    with pytest.raises(TrainersError, match="no such model card"):
        read_card(tmp_path / "none.yaml")
    with pytest.raises(TrainersError, match=r"model.onnx: its model_card.json: cannot be read as JSON.*--pose-card"):
        card_from_metadata({CARD_KEY: "{"}, where="model.onnx")


def test_outputs_are_named_by_place_or_name():
    values = {"maps": 1, "tags": 2}
    assert [pick_output(values, wanted, "card") for wanted in (0, -1, "tags")] == [1, 2, 2]
    for wanted in (2, -3, "heat"):
        with pytest.raises(TrainersError, match=r"names the output .*, but the model has 0 'maps', 1 'tags'"):
            pick_output(values, wanted, "card")


@pytest.mark.parametrize(
    ("changes", "session"),
    [
        ({}, StubSession((None, 3, 64, 48), (17, 16, 12))),
        ({}, StubSession((None, None, None, None), (2, 17, 16, 12))),
        (
            {"head": {"kind": "heatmap", "alignment": "stride", "layout": "nhwc"}},
            StubSession((1, 3, 64, 48), (16, 12, 17)),
        ),
        (
            {"head": {"kind": "heatmap", "alignment": "stride", "background_channels": 2}},
            StubSession((1, 3, 64, 48), (19, 16, 12)),
        ),
        ({"head": {"kind": "simcc", "alignment": "stride"}}, StubSession((1, 3, 64, 48), (17, 96), (17, 128))),
        ({"head": {"kind": "coordinates", "order": ["y", "x", "score"]}}, StubSession((1, 3, 64, 48), (1, 17, 3))),
        ({"head": {"kind": "coordinates", "order": ["x", "y"], "rows": 20}}, StubSession((1, 3, 64, 48), (40,))),
    ],
)
def test_cards_that_fit(changes, session):
    check_card(_card(**changes), session)


@pytest.mark.parametrize(
    ("changes", "session", "message"),
    [
        (
            {},
            StubSession((None, 3, 48, 64), (17, 12, 16)),
            "input: got 48 x 64 as nchw, that is (n, 3, 64, 48), but the ",
        ),
        ({}, StubSession((1, 64, 48, 3), (17, 16, 12)), "model's input 'images' is (1, 64, 48, 3)"),
        ({}, StubSession((1, 3, 64, 48), (17, 16, 12), dtype=BYTE), "takes uint8; write dtype: uint8"),
        (
            {},
            StubSession((1, 3, 64, 48), (14, 16, 12)),
            "head.output: the model gives an array of shape (2, 14, 16, 12)",
        ),
        (
            {},
            StubSession((1, 3, 64, 48), (14, 16, 12)),
            "expected (n, channels, h, w) with 17 joints of skeleton 'coco17'",
        ),
        (
            {"head": {"kind": "heatmap", "alignment": "stride", "background_channels": 1}},
            StubSession((1, 3, 64, 48), (17, 16, 12)),
            "17 joints of skeleton 'coco17' + 1 background as channels",
        ),
        (
            {"head": {"kind": "heatmap", "alignment": "stride", "output": 1}},
            StubSession((1, 3, 64, 48), (17, 16, 12)),
            "names the output 1, but",
        ),
        (
            {"head": {"kind": "simcc", "alignment": "stride"}},
            StubSession((1, 3, 64, 48), (17, 96)),
            "head.y_output: names the output 1",
        ),
        (
            {"head": {"kind": "simcc", "alignment": "stride", "split_ratio": 3}},
            StubSession((1, 3, 64, 48), (17, 96), (17, 128)),
            "expected (n, 17, 144): 17 joints of skeleton 'coco17', 48 pixels x split_ratio 3",
        ),
        (
            {"head": {"kind": "coordinates", "order": ["x", "y", "score"]}},
            StubSession((1, 3, 64, 48), (1, 33, 3)),
            "expected 17 rows of 3 numbers (x, y, score), one for each of the 17 joints",
        ),
        (
            {"head": {"kind": "coordinates", "order": ["x", "y"]}},
            StubSession((1, 3, 64, 48), (2, 17)),
            "expected 17 rows of 2 numbers (x, y)",
        ),
    ],
)
def test_cards_that_do_not_fit_are_refused_with_the_mismatch(changes, session, message):
    with pytest.raises(TrainersError) as raised:
        check_card(_card(**changes), session)
    assert "card 'hrnet'" in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize("colours", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_the_input_is_what_the_formula_says(colours, layout, dtype):
    numbers = {"scale": 128.0, "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)} if dtype == "float32" else {}
    card = InputCard(width=7, height=5, colours=colours, layout=layout, dtype=dtype, **numbers)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    expected = pixels[..., ::-1] if colours == "bgr" else pixels
    if numbers:
        expected = (expected / 128.0 - (0.1, 0.2, 0.3)) / (0.5, 0.6, 0.7)
    batch = encode_input(card, pixels)
    assert batch.dtype == dtype
    assert batch.flags.c_contiguous
    np.testing.assert_allclose(batch, expected.transpose(0, 3, 1, 2) if layout == "nchw" else expected, atol=1e-6)


@pytest.mark.parametrize(
    ("session", "parts"),
    [
        (
            StubSession((None, 3, 64, 48), (17, 16, 12)),
            ["width: 48", "height: 64", "skeleton: coco17", "kind: heatmap"],
        ),
        (
            StubSession((1, 192, 192, 3), (1, 17, 3), dtype=BYTE),
            ["layout: nhwc", "dtype: uint8", "order: [y, x, score]"],
        ),
        (StubSession((1, 3, 64, 48), (14, 96), (14, 128)), ["kind: simcc", "skeleton: lsp14"]),
        (StubSession((1, 64, 48, 3), (16, 12, 16)), ["layout: nhwc", "height: 64", "# 16 joints: ", "kind: heatmap"]),
        (StubSession((None, None, None, None)), ["width: ?", "skeleton: ?", "kind: heatmap"]),
    ],
)
def test_the_template_shows_what_is_known(session, parts):
    text = card_template("mine", session.inputs, session.outputs)
    for part in parts:
        assert part in text
    yaml.safe_load(text.replace("?", "0"))


def test_a_completed_template_is_a_card_that_fits():
    session = StubSession((None, 3, 64, 48), (17, 16, 12))
    card = parse_card(yaml.safe_load(card_template("mine", session.inputs, session.outputs)), where="template")
    check_card(card, session)
    assert isinstance(card.head, HeatmapHead)
    assert isinstance(card.skeleton, Skeleton)


def test_the_cards_in_the_documentation_are_cards():
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/model-cards.md").read_text("utf-8"), re.S)
    whole = [yaml.safe_load(block) for block in blocks if "skeleton:" in block]
    assert whole
    for content in whole:
        parse_card(content, where="docs")
    parts = [yaml.safe_load(block) for block in blocks if "skeleton:" not in block]
    for part in parts:
        _card(**part)
