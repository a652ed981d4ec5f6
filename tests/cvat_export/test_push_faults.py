"""A push and a pull that meet every fault at every request, and die at every request: nothing doubled, nothing lost."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.cvat_standin import Fault
from tests.cvat_export.cvat_datasets import (
    PROJECT,
    changes,
    finish_all,
    names_on_server,
    person,
    pull,
    push,
    shapes_on_server,
    write_out,
)

PEOPLE = [[person(40, 30)], [], [person(90, 30), person(200, 40)]]
FATES = ["confirmed", "confirmed_empty", "confirmed", "confirmed"]


class Once:
    """The fault at one request, counted from 0, and never again."""

    def __init__(self, number, action):
        self.number, self.action, self.seen = number, action, 0

    def __call__(self, _, method, path):
        self.seen += 1
        return self.action() if self.seen == self.number + 1 else None

    @property
    def fired(self):
        return self.seen > self.number


def begin_anew(server, folder):
    for project in list(server.state.projects):
        server.state.delete_project(project)
    shutil.rmtree(folder / ".annotator", ignore_errors=True)
    server.requests.clear()


def check(server, folder, where):
    assert len(server.state.projects) == 1, where
    assert names_on_server(server) == [f"frame_{i:03}.jpg" for i in range(3)], where
    assert len(shapes_on_server(server)) == 3, where
    finish_all(server)
    shutil.rmtree(folder / "corrected", ignore_errors=True)
    assert pull(folder / "corrected")[0] == 0, where
    assert [row["fate"] for row in changes(folder / "corrected")] == FATES, where


@pytest.mark.slow
@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name)
def test_a_fault_at_any_request_of_a_push(server, tmp_path, fault):
    out = write_out(tmp_path / "out", PEOPLE)
    push(out, "--task-size", 2)
    for number in range(len(server.requests)):
        begin_anew(server, tmp_path)
        server.fault = Once(number, lambda: fault)
        code, _, stderr = push(out, "--task-size", 2)
        assert server.fault.fired
        server.fault = None
        if code:
            code, _, stderr = push(out, "--task-size", 2)
        assert code == 0, f"request {number}: {stderr}"
        check(server, tmp_path, f"request {number}: {stderr}")


@pytest.mark.slow
@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name)
def test_a_fault_at_any_request_of_a_second_push_and_of_a_pull_spares_what_people_did(server, tmp_path, fault):
    out, more = write_out(tmp_path / "out", PEOPLE[:2]), write_out(tmp_path / "more", PEOPLE)
    push(more)
    second_push = len(server.requests)
    for number in range(second_push):
        begin_anew(server, tmp_path)
        assert push(out)[0] == 0
        (task,) = server.state.tasks
        server.state.edit_joint(task, server.state.shapes(task)[0]["id"], "nose", 7, 0)
        edited = server.state.shapes(task)
        server.fault = Once(number, lambda: fault)
        push(more)
        server.fault = None
        assert push(more)[0] == 0
        assert server.state.shapes(task) == edited, f"request {number}"
        finish_all(server)
        server.fault = Once(number, lambda: fault)
        pull(tmp_path / "corrected")
        server.fault = None
        assert pull(tmp_path / "corrected")[0] == 0
        fates = [row["fate"] for row in changes(tmp_path / "corrected")]
        assert fates == ["edited", *FATES[1:]], f"request {number}"
        shutil.rmtree(tmp_path / "corrected")


@pytest.mark.slow
@pytest.mark.parametrize("acts", [False, True], ids=["before the server acts", "after it"])
def test_a_push_killed_at_any_request_goes_on(server, tmp_path, acts):
    out = write_out(tmp_path / "out", PEOPLE)
    push(out, "--task-size", 2)
    for number in range(len(server.requests)):
        begin_anew(server, tmp_path)
        command = [Path(sys.executable).with_name("annotator"), "push", out, "--project", PROJECT, "--task-size", "2"]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)

        server.fault = Once(number, killer(process, acts))
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        server.fault = None
        code, _, stderr = push(out, "--task-size", 2)
        assert code == 0, f"request {number}: {stderr}"
        check(server, tmp_path, f"request {number}: {stderr}")


@pytest.mark.slow
@pytest.mark.parametrize("acts", [False, True], ids=["before the server acts", "after it"])
def test_a_pull_killed_at_any_request_goes_on(server, tmp_path, acts):
    push(write_out(tmp_path / "out", PEOPLE), "--task-size", 2)
    finish_all(server)
    shutil.rmtree(tmp_path / "out")  # so that the images, too, come from the server
    server.requests.clear()
    pull(tmp_path / "corrected")
    wanted = (tmp_path / "corrected" / "changes.jsonl").read_bytes()
    for number in range(len(server.requests)):
        shutil.rmtree(tmp_path / "corrected")
        command = [Path(sys.executable).with_name("annotator"), "pull", "--project", PROJECT, "-o", "corrected"]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
        server.fault = Once(number, killer(process, acts))
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        server.fault = None
        assert pull(tmp_path / "corrected")[0] == 0
        assert (tmp_path / "corrected" / "changes.jsonl").read_bytes() == wanted
        assert len(list((tmp_path / "corrected" / "images").iterdir())) == 3


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2, 0.4])
def test_two_pushes_at_once_from_two_folders_do_not_double(server, tmp_path, delay):
    out = write_out(tmp_path / "out", PEOPLE)
    command = [Path(sys.executable).with_name("annotator"), "push", out, "--project", PROJECT, "--task-size", "2"]
    processes = []
    for state in ("state-a", "state-b"):
        processes.append(subprocess.Popen([*command, "--state", tmp_path / state], stderr=subprocess.PIPE))
        time.sleep(delay)
    for process in processes:
        process.communicate(timeout=60)
    for state in ("state-a", "state-b"):
        push(out, "--task-size", 2, "--state", tmp_path / state)
    assert names_on_server(server) == [f"frame_{i:03}.jpg" for i in range(3)]
    assert len(shapes_on_server(server)) == 3
    assert len(server.state.projects) == 1


def killer(process, acts):
    """A fault that kills the client, before or after the server acts."""

    def kill():
        os.kill(process.pid, signal.SIGKILL)
        return Fault.RESET_AFTER if acts else Fault.RESET_BEFORE

    return kill
