"""The command line: a group whose commands are imported when they are called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

import click

from annotator.errors import AnnotatorError
from annotator.project_files import find_project
from cvat_export.errors import CvatExportError
from frame_tools.errors import FrameToolsError
from trainers.errors import TrainersError

COMMANDS = {  # name -> module in annotator.commands; in the order in which a user meets them
    "init": "init",
    "round": "round",
    "choose-frames": "choose_frames",
    "clip": "clip",
    "preannotate": "preannotate",
    "push": "push",
    "status": "status",
    "pull": "pull",
    "acceptance": "acceptance",
    "review": "review",
    "check": "check",
    "train": "train",
    "evaluate": "evaluate",
    "export": "export",
    "select": "select",
    "draw": "draw",
    "models": "models",
    "doctor": "doctor",
}
KNOWN_ERRORS = (AnnotatorError, CvatExportError, FrameToolsError, TrainersError)

NO_DEFAULTS = object()  # as the context's object: what a project says of commands does not hold for this call
WITH_DEFAULTS = frozenset({"preannotate", "push", "status", "pull", "review", "select"})  # inside a project
_ASKS_FOR_HELP = "annotator.cli.asks_for_help"

EXTRAS = {  # module -> the extra that brings it, where a command has no use without it
    "torch": "train",
    "lightning": "train",
    "timm": "train",
    "matplotlib": "train",
    "onnx": "train",
    "onnxscript": "train",
    "fiftyone": "review",
}


class CommandGroup(click.Group):
    """Imports only the module of the command that is called, so that help needs neither torch nor OpenCV."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_ASKS_FOR_HELP] = not set(args).isdisjoint(ctx.help_option_names)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"annotator.commands.{COMMANDS[cmd_name]}").command
        return command


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Results go to stdout, progress and messages to stderr. Exit 0: done; 1: failed; 2: misuse; "
    "3: done, but some inputs were skipped (listed in errors.jsonl).",
)
@click.version_option(package_name="cvat-pose-annotator")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def group(ctx: click.Context, debug: bool) -> None:
    """Video to pose labels: choose frames, propose poses, correct them in CVAT."""
    if ctx.obj is not NO_DEFAULTS and ctx.invoked_subcommand in WITH_DEFAULTS and (path := find_project(Path())):
        from annotator.project_defaults import command_defaults

        try:
            ctx.default_map = command_defaults(path)
        except KNOWN_ERRORS:
            if not ctx.meta[_ASKS_FOR_HELP]:  # which is needed most where something is broken
                raise


def main() -> None:
    """Run the command line; a known error becomes one message and exit code 1."""
    debug = "--debug" in sys.argv
    # Before torch is imported, whose threads else spin while they wait: a training took three times as long, and more,
    # beside one other busy process, to be a tenth faster alone.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        code = group.main(args=[a for a in sys.argv[1:] if a != "--debug"], standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        click.echo("aborted", err=True)
        code = 130
    except KNOWN_ERRORS as error:
        if debug:
            raise
        click.echo(f"error: {error}", err=True)
        code = 1
    except ModuleNotFoundError as error:
        if debug or error.name is None or error.name.partition(".")[0] not in EXTRAS:
            raise
        extra = EXTRAS[error.name.partition(".")[0]]
        click.echo(f"error: {error.name} is not installed; pip install 'cvat-pose-annotator[{extra}]'", err=True)
        code = 1
    except OSError as error:
        if debug:
            raise
        click.echo(f"error: {error.strerror or error}: {error.filename or ''}", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
