"""A network as a training config wants it, before its first step, and the card of what will become of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from cvat_export.skeleton import Skeleton
from trainers.checkpoint import ModelNetwork, NetworkSpec, build_model
from trainers.codecs import Size
from trainers.errors import TrainersError
from trainers.initial_weights import load_initial_weights
from trainers.model_card import Card, HeatmapHead, ModelCard
from trainers.networks import backbone_name
from trainers.networks.pose_network import PoseNetwork
from trainers.targets import Targets
from trainers.task import Notify, card_origin
from trainers.training_config import PoseConfig, TrainingConfig


def network_spec(config: PoseConfig) -> NetworkSpec:
    """How to build the network again."""
    return NetworkSpec(config.network, config.backbone, config.network_options, config.target.occluded == "head")


def start_network(
    config: TrainingConfig, spec: NetworkSpec, card: Card, weights: str | None, notify: Notify
) -> ModelNetwork:
    """The network with its first weights. notify: is told what of a file of weights was not loaded."""
    torch.manual_seed(config.seed)
    network = build_model(spec, card)
    if weights is not None:
        skeleton = card.skeleton if isinstance(card, ModelCard) else None
        notify(str(load_initial_weights(network, weights, skeleton, backbone_name(spec.name, spec.backbone))))
    return network


def make_network(config: PoseConfig, skeleton: Skeleton, notify: Notify = lambda _: None) -> PoseNetwork:
    """As `start_network`, of a pose model."""
    network = start_network(config, network_spec(config), make_card(config, skeleton), config.weights, notify)
    assert isinstance(network, PoseNetwork)
    return network


def map_size(network: PoseNetwork, input_size: Size) -> Size:
    """(width, height) of the maps of an input of this size."""
    width, height = input_size
    was_training = network.training
    with torch.no_grad():
        maps, _ = network.eval().stages(torch.zeros(1, 3, height, width))
    network.train(was_training)
    return maps.shape[-1], maps.shape[-2]


def make_card(config: PoseConfig, skeleton: Skeleton) -> ModelCard:
    """What a model trained by this config says of itself."""
    head = HeatmapHead(
        kind="heatmap",
        alignment="half-pixel",
        decoding=config.target.decoding,
        sigma=config.target.sigma,
        activation="softmax" if config.loss.kind == "cross-entropy" else "none",
        occluded_is_negative=config.target.occluded == "negative",
        visibility_output="visibility" if config.target.occluded == "head" else None,
    )
    return ModelCard(skeleton=skeleton, crop=config.crop, head=head, **card_origin(config))


def make_targets(config: PoseConfig, map_size: Size, joint_weights: npt.NDArray[np.float32]) -> Targets:
    """How joints become targets. joint_weights: (joints,)."""
    is_negative = config.target.occluded == "negative"
    return Targets(config.input.size, map_size, config.target.sigma, is_negative, joint_weights)


def read_joint_weights(config: PoseConfig, skeleton: Skeleton) -> npt.NDArray[np.float32]:
    """(joints,). Raises TrainersError where joints are weighed that the skeleton has not."""
    weights = np.ones(len(skeleton.joints), np.float32)
    for name, weight in config.loss.joint_weights.items():
        joint = skeleton.find(name)
        if joint is None:
            raise TrainersError(
                f"loss.joint_weights: got {name!r}, which is no joint of skeleton {skeleton.name!r}, expected some of "
                f"{', '.join(skeleton.joints)}"
            )
        if not 0 <= weight < float("inf"):
            raise TrainersError(f"loss.joint_weights: {name}: got {weight}, expected 0 or more")
        weights[joint] = weight
    return weights
