"""Where the login comes from, and that it goes nowhere else."""

import pytest

from annotator.credentials import find_login, profile_file
from annotator.errors import AnnotatorError

SECRET = "sEcReT-token"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("HOST", "ACCESS_TOKEN", "USERNAME", "PASSWORD", "ORGANIZATION"):
        monkeypatch.delenv(f"CVAT_{name}", raising=False)


def write_profiles(text, mode=0o600):
    profile_file().parent.mkdir(parents=True)
    profile_file().write_text(text)
    profile_file().chmod(mode)


def test_the_environment(monkeypatch):
    monkeypatch.setenv("CVAT_HOST", "https://cvat.example.org")
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", SECRET)
    login = find_login(None, None, None)
    assert (login.host, login.token) == ("https://cvat.example.org", SECRET)
    assert find_login("https://other.example.org", None, "team").host == "https://other.example.org"
    assert SECRET not in repr(login) + str(login)


def test_a_profile_by_name_and_the_default_one(monkeypatch):
    write_profiles(
        f"default: {{host: a.example, token: {SECRET}}}\nwork: {{host: b.example, user: ana, password: x}}\n"
    )
    assert find_login(None, None, None).host == "a.example"
    assert find_login(None, "work", None).user == "ana"
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", "of the environment")
    assert find_login("c.example", None, None).token == "of the environment"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_profile_file_that_others_may_read_is_refused(mode):
    write_profiles(f"default: {{host: a.example, token: {SECRET}}}\n", mode)
    with pytest.raises(AnnotatorError, match="chmod 600"):
        find_login(None, None, None)


@pytest.mark.parametrize(
    "text", [f"default: [{SECRET}", f"- {SECRET}", f"default: {SECRET}", f"default: {{key: {SECRET}}}"]
)
def test_a_broken_profile_file_is_refused_without_quoting_it(text):
    write_profiles(text)
    with pytest.raises(AnnotatorError) as caught:
        find_login("a.example", None, None)
    assert SECRET not in str(caught.value)


def test_nothing_known_says_what_to_do(monkeypatch):
    with pytest.raises(AnnotatorError, match="CVAT_HOST"):
        find_login(None, None, None)
    with pytest.raises(AnnotatorError, match="CVAT_ACCESS_TOKEN"):
        find_login("a.example", None, None)
    with pytest.raises(AnnotatorError, match="no profile 'other'"):
        write_profiles("{}")
        find_login("a.example", "other", None)
