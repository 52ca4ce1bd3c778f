"""Secrets: where they are looked for, what is said when there is none, and that no value is ever shown."""

import json
from pathlib import Path

import pytest

from reactor.core.errors import ConfigError
from reactor.language.diagnostics import InvalidDefinition
from reactor.language.secrets import Secrets, read_secret_file


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    (tmp_path / ".secrets.yaml").write_text("file-key: from the file\nnumber: 007\nboth: file\n")
    (tmp_path / "mounted").write_text("from a mounted file\n")
    environ = {
        "REACTOR_SECRET_API_KEY": "hunter2",
        "REACTOR_SECRET_DB_PASSWORD_FILE": str(tmp_path / "mounted"),
        "REACTOR_SECRET_GONE_FILE": str(tmp_path / "gone"),
        "REACTOR_SECRET_BOTH": "env",
        "REACTOR_SECRETS_KEY": "no secret of this name",
        "REGION": "eu",
        "HIDDEN": "x",
    }
    return Secrets((("env", ""), ("file", ".secrets.yaml")), tmp_path, environ)


def test_the_first_source_that_has_the_name(secrets: Secrets) -> None:
    assert secrets.get("api_key") == "hunter2"
    assert secrets.get("api-key") == "hunter2"
    assert secrets.get("db_password") == "from a mounted file"
    assert secrets.get("file-key") == "from the file"
    assert secrets.get("number") == "007"
    assert secrets.get("both") == "env"
    assert "api-key" in secrets
    assert "nothing" not in secrets
    assert sorted(secrets) == ["api_key", "both", "db_password", "file-key", "gone", "number"]
    assert len(secrets) == 6


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        (
            "api_kee",
            "there is no secret `api_kee`; looked in REACTOR_SECRET_API_KEE, .secrets.yaml",
            "did you mean api_key?",
        ),
        (
            "stripe",
            "there is no secret `stripe`; looked in REACTOR_SECRET_STRIPE, .secrets.yaml",
            "set REACTOR_SECRET_STRIPE",
        ),
    ],
)
def test_a_missing_secret(secrets: Secrets, name: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        secrets.get(name)
    assert (str(caught.value), caught.value.code, caught.value.hint) == (message, "missing_secret", hint)


def test_a_file_that_a_variable_names_is_gone(secrets: Secrets, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        secrets.get("gone")
    assert str(caught.value) == (
        "the secret `gone` cannot be read from the file that REACTOR_SECRET_GONE_FILE names: "
        f"[Errno 2] No such file or directory: '{tmp_path / 'gone'}'"
    )
    assert caught.value.code == "missing_secret"


@pytest.mark.rule("11.3")
def test_what_was_resolved_is_masked_in_every_form(tmp_path: Path) -> None:
    value = 'p@ss "word"/é\nsecond line'
    secrets = Secrets(root=tmp_path, environ={"REACTOR_SECRET_A": value, "REACTOR_SECRET_B": "p@ss"})
    text = f"{value} then p@ss"
    assert secrets.mask(text) == text  # not resolved yet: nobody has it
    secrets.get("a")
    assert secrets.mask(f"x {value} y") == "x *** y"
    assert secrets.mask("only second line here") == "only *** here"
    assert secrets.mask('{"a": "p@ss \\"word\\"/\\u00e9\\nsecond line"}') == '{"a": "***"}'
    assert secrets.mask("https://u:p%40ss%20%22word%22%2F%C3%A9%0Asecond%20line@h") == "https://u:***@h"
    assert secrets.mask("p@ss") == "p@ss"
    secrets.get("b")
    assert secrets.mask("p@ss and p@ss") == "*** and ***"
    value = {"p@ss": ["p@ss", 1, {"a": "xp@ss"}], "my second line": 1}
    assert secrets.mask_value(value) == {"p@ss": ["***", 1, {"a": "x***"}], "my ***": 1}
    assert "p@ss" not in repr(secrets)


@pytest.mark.rule("11.3")
def test_a_short_secret_is_hidden_as_a_word_and_a_number_as_a_whole() -> None:
    secrets = Secrets(environ={"REACTOR_SECRET_A": "k", "REACTOR_SECRET_B": "8080", "REACTOR_SECRET_C": "42"})
    for name in "abc":
        secrets.get(name)
    value = {"ok k": "k, ok: k.", "n": [8080, 18080, 42, 80.8, True, None], "t": "42 4242 18080", "8080": 1, "x8080": 2}
    masked = {
        "ok k": "***, ok: ***.", "n": ["***", 18080, 42, 80.8, True, None], "t": "*** 4242 1***", "8080": 1, "x8080": 2
    }  # fmt: skip
    assert secrets.mask_value(value) == masked
    assert json.loads(secrets.mask_json(json.dumps(value).encode())) == masked
    plain = b'{"state": "park"}'
    assert secrets.mask_json(plain) is plain


def test_a_configuration_is_rendered(secrets: Secrets) -> None:
    config = {
        "url": "https://${{ env.REGION }}.test",
        "auth": {"bearer": "${{ secrets.api_key }}"},
        "n": 1,
        "v": "${{ vars.a }}",
    }
    assert secrets.render(config, ["REGION"], {"a": [1]}) == {
        "url": "https://eu.test",
        "auth": {"bearer": "hunter2"},
        "n": 1,
        "v": [1],
    }
    assert secrets.mask("hunter2") == "***"
    plain = {"a": 1}
    assert secrets.render(plain) is plain
    later = {"respond": {"json": "${{ outputs }}"}, "auth": {"token": "${{ secrets.both }}"}}
    assert secrets.render(later, leave=["respond"]) == {"respond": {"json": "${{ outputs }}"}, "auth": {"token": "env"}}


def test_only_listed_variables_are_readable(secrets: Secrets) -> None:
    with pytest.raises(Exception, match="HIDDEN"):
        secrets.render("${{ env.HIDDEN }}", ["REGION"])
    with pytest.raises(ConfigError) as caught:
        secrets.render("${{ secrets.nothing }}")
    assert caught.value.code == "missing_secret"


def test_a_file_of_secrets_with_errors_never_shows_them(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("good: hunter2\nlist: [hunter2]\nempty:\n")
    with pytest.raises(InvalidDefinition) as caught:
        read_secret_file(path)
    assert str(caught.value) == (
        f"error: the secret `list` must be text\n  --> {path}:2:1 (list)\n  = help: write it in quotes\n\n"
        f"error: the secret `empty` must be text\n  --> {path}:3:1 (empty)\n  = help: write it in quotes"
    )
    path.write_text("- hunter2")
    with pytest.raises(InvalidDefinition) as caught:
        read_secret_file(path)
    assert "hunter2" not in str(caught.value)
    assert read_secret_file(tmp_path / "none.yaml") == {}
