"""torch's networks in OpenVINO: torch reads the file, OpenVINO's own front end converts and runs the network."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.errors import TrainersError
from trainers.runtimes.batching import check_single_input
from trainers.runtimes.formats import ModelFile, ModelFormat
from trainers.runtimes.metadata import read_metadata
from trainers.runtimes.openvino_session import OpenVinoSession, compile_graph, import_openvino
from trainers.runtimes.pt2_file import load_pt2
from trainers.runtimes.session import Execution
from trainers.runtimes.torch_session import load_torchscript, pt2_specs, require_torch

if TYPE_CHECKING:
    import openvino
    import torch

Shape = tuple[int | None, ...]


def open_converted(model: ModelFile, execution: Execution) -> OpenVinoSession:
    """A TorchScript, which does not say what batch it takes and is given rows one by one, or a pt2 in OpenVINO.

    Raises TrainersError where either library cannot.
    """
    require_torch(model)
    import_openvino()
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    if model.format is ModelFormat.PT2:
        program = load_pt2(model, execution.trust)
        shape = pt2_specs(program, model)[0].shape
        graph = _convert(lambda: TorchFXPythonDecoder.from_exported_program(program), shape, model)
    else:
        script = load_torchscript(model)
        graph = _convert(lambda: TorchScriptPythonDecoder(script), (1, None, None, None), model)
    return compile_graph(graph, model, execution, read_metadata(model))


def open_traced(
    network: torch.nn.Module, model: ModelFile, execution: Execution, metadata: Mapping[str, str]
) -> OpenVinoSession:
    """A network over (n, 3, height, width), all of them free, in OpenVINO. Raises TrainersError where it cannot.

    It is traced, so what it computes may depend on its input's shape and values through torch's operators only.
    """
    import torch

    import_openvino()
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros(1, 3, 128, 192)
    graph = _convert(lambda: TorchScriptPythonDecoder(_trace(network, example)), (None, 3, None, None), model)
    return compile_graph(graph, model, execution, metadata)


def convert_traced(network: torch.nn.Module, example: torch.Tensor, path: Path) -> openvino.Model:
    """The graph of a network over (n, …) with n free and the other sizes of `example`, to be written to `path`."""
    import_openvino()
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    model = ModelFile(path, ModelFormat.OPENVINO_IR)
    return _convert(lambda: TorchScriptPythonDecoder(_trace(network, example)), (None, *example.shape[1:]), model)


def _trace(network: torch.nn.Module, example: torch.Tensor) -> Any:
    import torch

    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and each branch on a shape is reported
        return torch.jit.trace(network, example, check_trace=False)


def _convert(make_decoder: Callable[[], Any], shape: Shape, model: ModelFile) -> openvino.Model:
    """As `openvino.convert_model`, which reports its use over the network."""
    from openvino.frontend import FrontEndManager

    front_end = FrontEndManager().load_by_framework("pytorch")
    logging.disable(logging.WARNING)  # it logs a traceback for each operator that torch renamed
    try:
        decoder = make_decoder()  # OpenVINO does not keep it alive
        graph = front_end.convert(front_end.load(decoder))
        check_single_input(len(graph.inputs), model)
        graph.reshape([-1 if size is None else size for size in shape])
    except TrainersError:
        raise
    except Exception as error:  # the front end's exceptions share no base class
        reason = str(error).strip().splitlines()[-1]
        raise TrainersError(
            f"{model.path}: OpenVINO cannot convert this {model.format} model: {reason}; use --runtime torch"
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    return graph
