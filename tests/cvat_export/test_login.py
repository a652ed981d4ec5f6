"""Every way to log in, from the command line, and that secrets go nowhere else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from annotator.commands import status as status_command
from annotator.credentials import profile_file
from demo.cvat_standin import Fault
from tests.cvat_export.cvat_datasets import PROJECT, changes, finish_all, person, pull, push, run, write_out

PASSWORD = "a-secret password"
ON_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


def files_with(secret, folder):
    return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_user_and_password_of_the_environment_do_for_push_status_and_pull(server, tmp_path, monkeypatch):
    server.state.passwords["admin"] = PASSWORD
    monkeypatch.delenv("CVAT_ACCESS_TOKEN")
    monkeypatch.setenv("CVAT_USERNAME", "admin")
    monkeypatch.setenv("CVAT_PASSWORD", PASSWORD)
    results = [push(write_out(tmp_path / "out", [[person(40, 30)]])), run(status_command)]
    finish_all(server)
    results.append(pull(tmp_path / "corrected"))
    assert [result[0] for result in results] == [0, 0, 0], results
    assert [row["fate"] for row in changes(tmp_path / "corrected")] == ["confirmed"]
    assert PASSWORD not in repr(results) and not files_with(PASSWORD, tmp_path)


def test_a_wrong_password(server, tmp_path, monkeypatch):
    monkeypatch.delenv("CVAT_ACCESS_TOKEN")
    monkeypatch.setenv("CVAT_USERNAME", "admin")
    monkeypatch.setenv("CVAT_PASSWORD", PASSWORD)
    code, _, stderr = push(write_out(tmp_path / "out", [[]]))
    assert code == 1 and "Unable to log in" in stderr and PASSWORD not in stderr


def test_a_profile_by_name(server, tmp_path, monkeypatch):
    for name in ("CVAT_HOST", "CVAT_ACCESS_TOKEN"):
        monkeypatch.delenv(name)
    profile_file().parent.mkdir(parents=True)
    profile_file().write_text(f"work: {{host: '{server.url}', token: {server.token}}}\n")
    profile_file().chmod(0o600)
    assert push(write_out(tmp_path / "out", [[]]), "--profile", "work")[0] == 0
    assert len(server.state.tasks) == 1


@pytest.mark.parametrize("user", [None, "admin"], ids=["token", "password"])
def test_what_is_missing_is_asked_for_and_not_shown(server, tmp_path, user):
    server.state.passwords["admin"] = PASSWORD
    secret, question = (PASSWORD, "Password of admin") if user else (server.token, "Access token")
    out = write_out(tmp_path / "out", [[person(40, 30)]])
    environment = {name: value for name, value in os.environ.items() if name != "CVAT_ACCESS_TOKEN"}
    annotator = Path(sys.executable).with_name("annotator")
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, annotator, "push", out, "--project", PROJECT],
        env=environment | ({"CVAT_USERNAME": user} if user else {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    shown = b""
    while question.encode() not in shown and (more := os.read(process.stdout.fileno(), 1024)):
        shown += more
    rest, _ = process.communicate(f"{secret}\n".encode(), timeout=60)
    text = (shown + rest).decode()
    assert process.returncode == 0, text
    assert question in text and server.url in text and secret not in text
    assert len(server.state.tasks) == 1


@pytest.mark.parametrize("by_option", [True, False])
def test_every_request_is_made_in_the_organization(server, tmp_path, monkeypatch, by_option):
    slugs = []
    answer = server.answer
    monkeypatch.setattr(
        server, "answer", lambda call: (slugs.append(call.headers.get("x-organization")), answer(call))[1]
    )
    if not by_option:
        monkeypatch.setenv("CVAT_ORGANIZATION", "team")
    options = ("--org", "team") if by_option else ()
    assert push(write_out(tmp_path / "out", [[person(40, 30)]]), *options)[0] == 0
    assert run(status_command, *options)[0] == 0
    finish_all(server)
    assert pull(tmp_path / "corrected", *options)[0] == 0
    assert set(slugs) == {"team"} and len(slugs) == len(server.requests)


def test_wrong_credentials_and_an_unreachable_server(server, tmp_path, monkeypatch):
    out = write_out(tmp_path / "out", [[]])
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", "wrong-but-secret")
    code, _, stderr = push(out)
    assert code == 1 and "401" in stderr and "CVAT_ACCESS_TOKEN" in stderr and "wrong-but-secret" not in stderr
    code, _, stderr = push(out, "--host", "http://127.0.0.1:9")
    assert code == 1 and "127.0.0.1:9" in stderr


def test_the_token_is_nowhere(server, tmp_path):
    """Not in a file, an output or an error, whatever fails."""
    out = write_out(tmp_path / "out", [[person(40, 30)]])
    texts = [*push(out), *run(status_command)[1:], *pull(tmp_path / "corrected")[1:]]
    (out / "images" / "frame_000.jpg").write_bytes(b"other")
    texts += push(out)
    for fault in Fault:
        server.fault = lambda *_, fault=fault: fault
        texts += push(out)
    server.fault = None
    assert server.token not in repr(texts)
    assert not files_with(server.token, tmp_path)
