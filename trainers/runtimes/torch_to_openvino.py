"""TorchScript and pt2 in OpenVINO: torch reads the file, OpenVINO's own front end converts and runs it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from trainers.errors import TrainersError
from trainers.runtimes.batching import check_single_input
from trainers.runtimes.formats import ModelFile, ModelFormat
from trainers.runtimes.openvino_session import import_openvino
from trainers.runtimes.pt2_file import load_pt2
from trainers.runtimes.torch_session import load_torchscript, pt2_specs, require_torch

if TYPE_CHECKING:
    import openvino


def convert_torch(model: ModelFile, trust: bool) -> openvino.Model:
    """The network as OpenVINO's graph. A TorchScript, which does not say what batch it takes, is given a batch of 1.

    `openvino.convert_model` does the same, but reports its use over the network. Raises TrainersError.
    """
    require_torch(model)
    import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    shape: tuple[int | None, ...] = (1, None, None, None)
    source: Any
    if model.format is ModelFormat.PT2:
        source, decode = load_pt2(model, trust), TorchFXPythonDecoder.from_exported_program
        shape = pt2_specs(source, model)[0].shape
    else:
        source, decode = load_torchscript(model), TorchScriptPythonDecoder
    front_end = FrontEndManager().load_by_framework("pytorch")
    logging.disable(logging.WARNING)  # it logs a traceback for each operator that torch renamed
    try:
        decoder = decode(source)  # OpenVINO does not keep it alive
        graph = front_end.convert(front_end.load(decoder))
    except Exception as error:  # its exceptions share no base class
        reason = str(error).strip().splitlines()[-1]
        raise TrainersError(
            f"{model.path}: OpenVINO cannot convert this {model.format} model: {reason}; use --runtime torch"
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    check_single_input(len(graph.inputs), model)
    graph.reshape([-1 if size is None else size for size in shape])
    return graph
