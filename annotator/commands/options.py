"""Options that several commands share, as decorators."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from trainers.runtimes import Execution

F = TypeVar("F", bound=Callable[..., object])

MIN_BOX_SCORE = 0.25  # that of trainers.model_card, which takes too long to import for a help text


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


def chosen_execution(options: dict[str, Any]) -> Execution:
    """What `execution_options` were given, among others."""
    from trainers.runtimes import Execution

    return Execution(options["runtime"], options["device"], options["precision"], options["trust"])


def batch_options(function: F) -> F:
    """How much is done at a time: --batch-size, --workers."""
    for option in (
        click.option(
            "--workers",
            type=click.IntRange(1),
            default=min(8, os.cpu_count() or 1),
            show_default="cores, at most 8",
            help="Threads that decode, crop and write.",
        ),
        click.option(
            "--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Images or crops at a time."
        ),
    ):
        function = option(function)
    return function


def is_default(name: str) -> bool:
    """Whether the user has said nothing of an option: its value is the command's or the project's."""
    source = click.get_current_context().get_parameter_source(name)
    return source in (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)


group_option = click.option(
    "--group",
    default="auto",
    show_default=True,
    help="What belongs together: auto, image, folder, file, regex:PATTERN or time:N.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def server_options(function: F) -> F:
    """Which CVAT: --host, --profile, --org, --state. No option takes a secret: command lines can be read by others."""
    for option in (
        click.option(
            "--state",
            type=click.Path(path_type=Path, file_okay=False),
            default=".annotator",
            show_default=True,
            help="Folder with the record of what was pushed.",
        ),
        click.option("--org", "organization", help="Slug of the organization. [default: CVAT_ORGANIZATION]"),
        click.option("--profile", help="Name in the profile file, see the README."),
        click.option("--host", help="The server's address. [default: CVAT_HOST]"),
    ):
        function = option(function)
    return function
