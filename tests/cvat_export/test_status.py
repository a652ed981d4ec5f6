"""status through the real SDK against the stand-in server, from the command line."""

import json

import click
import pytest

from annotator.commands import status as status_command
from tests.cvat_export.cvat_datasets import PROJECT, finish_all, person, push, run, write_out


def test_status_counts_what_people_do(server, tmp_path):
    push(write_out(tmp_path / "out", [[person(40, 30)], [person(90, 30)]]), "--segment-size", 1)
    task = next(iter(server.state.tasks))
    server.state.edit_joint(task, server.state.shapes(task)[0]["id"], "nose", 3, 0)
    code, stdout, _ = run(status_command, "--json")
    rows = json.loads(stdout)
    assert code == 0
    assert sum(row["edited"] for row in rows) == 1 and sum(row["skeletons"] for row in rows) == 2
    assert run(status_command)[1].count("\n") == 3


def test_a_watch_ends_when_every_job_is_completed(server, tmp_path, monkeypatch):
    push(write_out(tmp_path / "out", [[person(40, 30)], [person(90, 30)]]))
    looks = []
    monkeypatch.setattr(status_command.time, "sleep", lambda seconds: (looks.append(seconds), finish_all(server)))
    code, stdout, stderr = run(status_command, "--project", PROJECT, "--watch")
    assert (code, stdout, looks) == (0, "", [status_command.WATCH_SECONDS])
    assert "100%" in stderr and "2/2" in stderr


def test_a_watch_prints_no_json(server):
    with pytest.raises(click.UsageError, match="--watch"):
        run(status_command, "--watch", "--json")
