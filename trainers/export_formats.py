"""A network -> a model file of each format: any number of images, sides as its card says, the card inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from trainers.checkpoint import ModelNetwork
from trainers.errors import TrainersError
from trainers.model_card import Card, FilePrecision, dump_card
from trainers.network_input import encode_input
from trainers.quantisation import quantise
from trainers.runtimes.metadata import CARD_KEY

if TYPE_CHECKING:
    import onnx

_INPUT = "images"
Pixels = npt.NDArray[np.uint8]
Writer = Callable[[ModelNetwork, Card, Path, Pixels], None]


@dataclass(frozen=True)
class ExportFormat:
    """file_name: of f32, unless the user gives one. precisions: in which it can be written.

    write: (network in eval mode, card, path, real inputs) -> files at path, in the card's precision. Inputs are RGB
    (n, height, width, 3), from which int8 takes its ranges.
    """

    file_name: str
    write: Writer
    precisions: tuple[FilePrecision, ...] = ("f32",)

    def name_file(self, precision: FilePrecision) -> str:
        """model.onnx, model.int8.onnx"""
        name = Path(self.file_name)
        return self.file_name if precision == "f32" else f"{name.stem}.{precision}{name.suffix}"


def write_torchscript(network: ModelNetwork, card: Card, path: Path, pixels: Pixels) -> None:
    """Traced, for what a network computes depends on no value of its input."""
    with torch.no_grad(), _quiet():
        traced = torch.jit.trace(network, _example(card), check_trace=False)
        torch.jit.save(traced, path, _extra_files={CARD_KEY: dump_card(card)})


def write_pt2(network: ModelNetwork, card: Card, path: Path, pixels: Pixels) -> None:
    """What torch.export makes of it."""
    with _quiet():
        program = torch.export.export(network, (_example(card),), dynamic_shapes=({0: torch.export.Dim("batch")},))
        torch.export.save(program, path, extra_files={CARD_KEY: dump_card(card)})


def write_onnx(network: ModelNetwork, card: Card, path: Path, pixels: Pixels) -> None:
    """Raises TrainersError where a package is missing."""
    _import_onnx(path).save(_onnx_model(network, card, path, pixels), path)


def write_openvino(network: ModelNetwork, card: Card, path: Path, pixels: Pixels) -> None:
    """The .xml, and the .bin beside it. Raises TrainersError where a package is missing.

    int8 comes by way of ONNX: OpenVINO reads what ONNX Runtime quantised, and runs it as fast as what NNCF makes.
    """
    from trainers.runtimes.openvino_session import import_openvino
    from trainers.runtimes.torch_to_openvino import convert_traced

    openvino = import_openvino()
    from openvino._offline_transformations import apply_moc_transformations

    if card.precision == "int8":
        graph = openvino.Core().read_model(_onnx_model(network, card, path, pixels).SerializeToString())
    else:
        graph = convert_traced(network, _example(card), path)
    graph.input(0).get_tensor().set_names({_INPUT})
    for place, name in enumerate(list(network.outputs)):
        graph.output(place).get_tensor().set_names({name})
    apply_moc_transformations(graph, cf=True)  # constants are folded, as openvino.convert_model does
    graph.set_rt_info(dump_card(card), [CARD_KEY])
    openvino.save_model(graph, path, compress_to_fp16=card.precision == "f16")


EXPORT_FORMATS: dict[str, ExportFormat] = {
    "torchscript": ExportFormat("model.torchscript.pt", write_torchscript),
    "onnx": ExportFormat("model.onnx", write_onnx, ("f32", "int8")),
    "openvino": ExportFormat("model.xml", write_openvino, ("f32", "f16", "int8")),
    "pt2": ExportFormat("model.pt2", write_pt2),
}


def _onnx_model(network: ModelNetwork, card: Card, path: Path, pixels: Pixels) -> onnx.ModelProto:
    """By way of torch.export, whose graphs are half the size of those that torch's older exporter makes."""
    helper = _import_onnx(path).helper
    with _quiet():
        program = torch.onnx.export(
            network,
            (_example(card),),
            dynamo=True,
            verbose=False,
            input_names=[_INPUT],
            output_names=list(network.outputs),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
        assert program is not None
        model = program.model_proto
        if card.precision == "int8":
            model = quantise(model, (encode_input(card.input, one[None]) for one in pixels))
    _strip(model)
    helper.set_model_props(model, {CARD_KEY: dump_card(card)})
    return model


def _import_onnx(path: Path) -> ModuleType:
    """The package. Raises TrainersError where it, or what torch's exporter needs beside it, is missing."""
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise TrainersError(
            f"{path.name}: needs {error.name}; pip install 'cvat-pose-annotator[train]', which brings it"
        ) from error
    return onnx


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
