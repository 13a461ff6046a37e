"""Where the settings of a server come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenuto.server.settings import SettingsError, load_settings, public_settings


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('port = 1\nhost = "file"\ndb = "memory://file"\nhttp_deny = ["10.0.0.0/8"]\n')
    settings = load_settings({"port": 3, "host": None}, {"TENUTO_PORT": "2", "TENUTO_HOST": "environment"}, str(file))
    assert (settings.port, settings.host, settings.db) == (3, "environment", "memory://file")
    assert settings.http_deny == ["10.0.0.0/8"]


def test_lists_and_booleans_in_the_environment() -> None:
    settings = load_settings({}, {"TENUTO_HTTP_ALLOW": "a.example, *.b.example,", "TENUTO_ACCESS_LOG": "true"})
    assert settings.http_allow == ["a.example", "*.b.example"]
    assert settings.access_log is True


def test_other_variables_with_our_prefix_are_not_ours() -> None:
    assert load_settings({}, {"TENUTO_DEBUG": "1"}) == load_settings({}, {})


@pytest.mark.parametrize(
    ("variable", "value"), [("TENUTO_PORT", "many"), ("TENUTO_BODY_LIMIT", "0"), ("TENUTO_LOG_FORMAT", "xml")]
)
def test_the_variable_that_is_wrong_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        load_settings({}, {variable: value})


def test_what_is_shown_holds_no_secret() -> None:
    shown = public_settings(load_settings({"admin_key": "a:b", "secrets_key": "k", "db": "postgresql://u:p@h/d"}, {}))
    assert not {"admin_key", "secrets_key", "secrets_key_file", "db"} & set(shown)
