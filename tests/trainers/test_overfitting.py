"""Each family can learn sixteen cats by heart: if it cannot, something between labels and decoding is broken."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from trainers.augmentation import Augmentation
from trainers.checkpoint import read_checkpoint, restore_network
from trainers.crop_store import CropStore
from trainers.network_input import encode_input
from trainers.pose_decoding import decode_outputs
from trainers.samples import SampleView
from trainers.training import train
from trainers.training_config import parse_config
from trainers.training_data import read_training_data
from trainers.validation import score_estimates

SIDE_PX = 128
FAMILIES = {  # network -> what of the config is its own
    "simple-baseline": {"backbone": "resnet18"},
    "hrnet": {"backbone": "hrnet_w18_small"},
    "lite-fpn": {"optimizer": {"learning_rate": 0.004, "weight_decay": 0.0}},
    "cpm": {"network_options": {"stages": 3, "normalisation": "batch"}, "target": {"sigma": 1.0}},
}


@pytest.fixture(scope="module")
def cats(shared_data, tmp_path_factory):
    """Sixteen cats of the training file, and four others to validate on."""
    source = shared_data / "cats/annotations/cat_keypoints_train.json"
    content = json.loads(source.read_text())
    folder = tmp_path_factory.mktemp("cats")
    for name, chosen in (("train", slice(0, 16)), ("validation", slice(16, 20))):
        images = content["images"][chosen]
        ids = {image["id"] for image in images}
        rows = [row for row in content["annotations"] if row["image_id"] in ids]
        (folder / f"{name}.json").write_text(json.dumps({**content, "images": images, "annotations": rows}))
    return folder, shared_data / "cats/images"


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.parametrize("network", FAMILIES)
def test_sixteen_cats_are_learnt_by_heart(cats, tmp_path, network):
    folder, images = cats
    config = parse_config(
        {
            "data": {
                name: {"path": str(folder / f"{name}.json"), "images": str(images)} for name in ("train", "validation")
            },
            "network": network,
            "input": {"width": SIDE_PX, "height": SIDE_PX},
            "augmentation": dict.fromkeys(Augmentation.model_fields, 0),
            "optimizer": {"learning_rate": 0.002, "weight_decay": 0.0},
            "report": {"pictures_every": 0},
            "epochs": 120,
            "batch_size": 4,
            "ema": 0,
            **FAMILIES[network],
        },
        "test",
    )
    train(config, tmp_path / "run")
    # Not best.ckpt's figure, which is of cats that it has not seen: the last weights, on those that it has.
    data = read_training_data(config)
    checkpoint = read_checkpoint(tmp_path / "run/best.ckpt")
    state = torch.load(tmp_path / "run/last.ckpt", weights_only=False)["state_dict"]
    weights = {name.removeprefix("network."): value for name, value in state.items()}
    net = restore_network(replace(checkpoint, weights=weights))
    store = CropStore(data.split.training, config.input.size, config.crop, budget_bytes=1 << 28)
    view = SampleView(store, data.skeleton, config.input.size, config.crop)
    crops = np.stack([view.plain(index).pixels for index in range(len(view))])
    with torch.no_grad():
        maps = net(torch.from_numpy(encode_input(checkpoint.card.input, crops))).numpy()
    scores = score_estimates(view, decode_outputs(checkpoint.card, {"heatmaps": maps}))
    print(f"{network}: PCK@0.1 {scores.pck:.4f} of 16 cats")
    assert scores.pck >= 0.99
