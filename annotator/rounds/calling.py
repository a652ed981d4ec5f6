"""A step that is a command: called as a person would, in this process, so that what is killed leaves nobody behind."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from annotator.cli import NO_DEFAULTS, group
from annotator.errors import AnnotatorError

_SKIPPED = 3


def call(*words: str | Path) -> dict[str, Any]:
    """Run `annotator WORDS --json` and give what it printed. Raises as the command does; usage as AnnotatorError.

    Exit code 3, done but for some inputs, is no error: the figures tell. The step says all that it wants: what the
    project says of commands for people does not mix in.
    """
    texts = [str(word) for word in words]
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            code = group.main([*texts, "--json"], prog_name="annotator", standalone_mode=False, obj=NO_DEFAULTS)
    except click.ClickException as error:
        raise AnnotatorError(f"annotator {' '.join(texts)}: {error.format_message()}") from error
    if code not in (None, 0, _SKIPPED):
        raise AnnotatorError(f"annotator {' '.join(texts)}: ended with code {code}")
    content: dict[str, Any] = json.loads(printed.getvalue())
    return content


def options(values: Mapping[str, Any]) -> list[str]:
    """`--name value` of those that are not None; several of a list, alone for True, none for False."""
    words: list[str] = []
    for name, value in values.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, list | tuple):
            words += [word for one in value for word in (option, str(one))]
        elif value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [option, str(value)]
    return words
