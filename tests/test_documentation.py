"""What the documents promise is there."""

import re
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from annotator.cli import COMMANDS, group

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name):
    assert f"### annotator {name}" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_and_says_what_is_written(name):
    text = CliRunner().invoke(group, [name, "--help"]).output
    assert re.search("Examples?:", text)
    assert f"annotator {name}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name):
    command = group.get_command(None, name)
    parameters = [p for one in (command, *getattr(command, "commands", {}).values()) for p in one.params]
    unexplained = [p.name for p in parameters if isinstance(p, click.Option) and not p.help]
    assert not unexplained


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_options_in_examples_exist(document):
    """Every --option on a line that calls `annotator COMMAND` is an option of that command."""
    for line in _shell_lines(document):
        words = line.split()
        if "annotator" not in words[:1] or len(words) < 2 or words[1] not in COMMANDS:
            continue
        command = group.get_command(None, words[1])
        if isinstance(command, click.Group) and words[2:3] and words[2] in command.commands:
            command = command.commands[words[2]]
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        used = {word.split("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
        assert used <= known | {"--help", "--debug"}, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text("utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target


def test_make_targets_in_documents_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for document in DOCUMENTS:
        for named in re.findall(r"`make ([a-z-]+)", document.read_text("utf-8")):
            assert named in targets, f"{document.name}: make {named}"


def test_the_project_speaks_of_itself_alone():
    pattern = "|".join(("/wo" + "rk/", r"\.lib" + "rary", "issue [0-9]+", "before" + "-stop"))
    found = subprocess.run(["git", "grep", "-nIE", pattern], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.stdout == ""


def _shell_lines(document: Path) -> list[str]:
    """Lines of code blocks, with continued lines joined, without a prompt."""
    blocks = re.findall(r"```(?:sh|bash|console)?\n(.*?)```", document.read_text("utf-8"), re.S)
    text = "\n".join(blocks).replace("\\\n", " ")
    return [line.strip().removeprefix("$ ") for line in text.splitlines() if line.strip()]
