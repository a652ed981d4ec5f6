"""Options that several commands share, as decorators."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

F = TypeVar("F", bound=Callable[..., object])


def execution_options(function: F) -> F:
    """How models are run: --runtime, --device, --precision, --trust."""
    for option in (
        click.option("--trust", is_flag=True, help="Let a pickled model run code that is not known to be harmless."),
        click.option(
            "--precision",
            type=click.Choice(("auto", "f32", "f16", "bf16")),
            default="auto",
            show_default=True,
            help="Arithmetic of the models.",
        ),
        click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, gpu, … or auto."),
        click.option(
            "--runtime",
            type=click.Choice(("auto", "torch", "onnxruntime", "openvino")),
            default="auto",
            show_default=True,
            help="What executes the models.",
        ),
    ):
        function = option(function)
    return function


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
