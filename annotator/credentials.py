"""Where CVAT is and as whom: from the environment, a profile file or a prompt; never from the command line."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from annotator.errors import AnnotatorError
from cvat_export.server import Login

_KEYS = {"host", "token", "user", "password", "organization"}


def find_login(host: str | None, profile: str | None, organization: str | None) -> Login:
    """The login to use. host and organization win over what the environment or the profile say.

    A profile is used where it is named or where the environment has no credentials. Raises AnnotatorError.
    """
    said = _from_environment()
    if profile is not None or not (said.get("token") or said.get("password")):
        said = {**said, **_from_profile(profile)}
    said |= {key: value for key, value in (("host", host), ("organization", organization)) if value is not None}
    if not said.get("host"):
        raise AnnotatorError(f"no CVAT server: set CVAT_HOST, say --host, or write a profile in {profile_file()}")
    if not said.get("token") and not (said.get("user") and said.get("password")):
        said |= _from_prompt(said)
    return Login(**said)


def profile_file() -> Path:
    """YAML: name of a profile -> host, token (or user and password), organization. Only its owner may read it."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "cvat-pose-annotator" / "profiles.yaml"


def _from_environment() -> dict[str, str]:
    names = {
        "host": "CVAT_HOST",
        "token": "CVAT_ACCESS_TOKEN",
        "user": "CVAT_USERNAME",
        "password": "CVAT_PASSWORD",
        "organization": "CVAT_ORGANIZATION",
    }
    return {key: os.environ[name] for key, name in names.items() if os.environ.get(name)}


def _from_profile(name: str | None) -> dict[str, str]:
    path = profile_file()
    if not path.exists():
        if name is None:
            return {}
        raise AnnotatorError(f"profile {name!r}: there is no {path}; write one, or set CVAT_HOST and CVAT_ACCESS_TOKEN")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise AnnotatorError(f"{path}: holds secrets and others may read it (mode {mode:04o}); chmod 600 {path}")
    profiles = _parse(path)
    wanted = name or "default"
    if wanted not in profiles:
        if name is None:
            return {}
        raise AnnotatorError(f"{path}: has no profile {name!r}, but {', '.join(profiles) or 'none'}")
    row = profiles[wanted]
    if not isinstance(row, Mapping) or set(row) - _KEYS:
        raise AnnotatorError(f"{path}: profile {wanted!r} must be a mapping with {', '.join(sorted(_KEYS))}")
    return {str(key): str(value) for key, value in row.items()}


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        profiles = yaml.safe_load(path.read_text("utf-8")) or {}
    except yaml.YAMLError as error:  # its text quotes the file, secrets included
        mark = getattr(error, "problem_mark", None)
        raise AnnotatorError(f"{path}: is no YAML{f', line {mark.line + 1}' if mark else ''}") from None
    if not isinstance(profiles, Mapping):
        raise AnnotatorError(f"{path}: must hold a mapping from names of profiles")
    return profiles


def _from_prompt(said: Mapping[str, str]) -> dict[str, str]:
    if not sys.stdin.isatty():
        raise AnnotatorError(
            f"no credentials for {said['host']}: set CVAT_ACCESS_TOKEN (or CVAT_USERNAME and CVAT_PASSWORD), or write "
            f"a profile in {profile_file()} with mode 0600"
        )
    if said.get("user"):
        return {"password": click.prompt(f"Password of {said['user']} on {said['host']}", hide_input=True, err=True)}
    return {"token": click.prompt(f"Access token for {said['host']}", hide_input=True, err=True)}
