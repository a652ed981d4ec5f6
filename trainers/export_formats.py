"""A network -> a model file of each format: any number of images, sides as its card says, the card inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from trainers.checkpoint import ModelNetwork
from trainers.errors import TrainersError
from trainers.model_card import Card, dump_card
from trainers.runtimes.metadata import CARD_KEY

_INPUT = "images"


@dataclass(frozen=True)
class ExportFormat:
    """file_name: unless the user gives one. write: (network in eval mode, card, path, half) -> files at path."""

    file_name: str
    write: Callable[[ModelNetwork, Card, Path, bool], None]


def write_torchscript(network: ModelNetwork, card: Card, path: Path, half: bool) -> None:
    """Traced, for what a network computes depends on no value of its input."""
    with torch.no_grad(), _quiet():
        traced = torch.jit.trace(network, _example(card), check_trace=False)
        torch.jit.save(traced, path, _extra_files={CARD_KEY: dump_card(card)})


def write_pt2(network: ModelNetwork, card: Card, path: Path, half: bool) -> None:
    """What torch.export makes of it."""
    with _quiet():
        program = torch.export.export(network, (_example(card),), dynamic_shapes=({0: torch.export.Dim("batch")},))
        torch.export.save(program, path, extra_files={CARD_KEY: dump_card(card)})


def write_onnx(network: ModelNetwork, card: Card, path: Path, half: bool) -> None:
    """By way of torch.export, whose graphs are half the size of those that torch's older exporter writes.

    Raises TrainersError where onnx or onnxscript is missing.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError as error:
        raise TrainersError(f"{path.name}: ONNX export needs {error.name}; pip install onnx onnxscript") from error
    with _quiet():
        torch.onnx.export(
            network,
            (_example(card),),
            path,
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=[_INPUT],
            output_names=list(network.outputs),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    model = onnx.load(path)
    _strip(model)
    onnx.helper.set_model_props(model, {CARD_KEY: dump_card(card)})
    onnx.save(model, path)


def write_openvino(network: ModelNetwork, card: Card, path: Path, half: bool) -> None:
    """The .xml, and the .bin beside it. half: weights are kept as 16 bit floats. Raises TrainersError."""
    from trainers.runtimes.openvino_session import import_openvino
    from trainers.runtimes.torch_to_openvino import convert_traced

    graph = convert_traced(network, _example(card), path)
    graph.input(0).get_tensor().set_names({_INPUT})
    for place, name in enumerate(list(network.outputs)):
        graph.output(place).get_tensor().set_names({name})
    graph.set_rt_info(dump_card(card), [CARD_KEY])
    import_openvino().save_model(graph, path, compress_to_fp16=half)


EXPORT_FORMATS: dict[str, ExportFormat] = {
    "torchscript": ExportFormat("model.torchscript.pt", write_torchscript),
    "onnx": ExportFormat("model.onnx", write_onnx),
    "openvino": ExportFormat("model.xml", write_openvino),
    "pt2": ExportFormat("model.pt2", write_pt2),
}


def _example(card: Card) -> torch.Tensor:
    """Two images: of one, torch.export concludes that there is always one."""
    return torch.zeros(2, 3, card.input.height, card.input.width)


def _strip(model: object) -> None:
    """Take out what torch notes of each node: stack traces, with paths of this machine, as large as a small model."""
    graph = model.graph  # type: ignore[attr-defined]
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch warns of its own deprecations and logs of its passes."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
