"""Where the settings of a server come from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tenuto.server.settings import SettingsError, load_settings, public_settings, system_task_settings
from tenuto.system_tasks.settings import NatsSettings


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('port = 1\nhost = "file"\ndb = "memory://file"\n[http]\ndeny = ["10.0.0.0/8"]\n')
    settings = load_settings({"port": 3, "host": None}, {"TENUTO_PORT": "2", "TENUTO_HOST": "environment"}, str(file))
    assert (settings.port, settings.host, settings.db) == (3, "environment", "memory://file")
    assert settings.http.deny == ("10.0.0.0/8",)


def test_lists_and_booleans_in_the_environment() -> None:
    settings = load_settings({}, {"TENUTO_HTTP_ALLOW": "a.example, *.b.example,", "TENUTO_ACCESS_LOG": "true"})
    assert settings.http.allow == ("a.example", "*.b.example")
    assert settings.access_log is True


def test_other_variables_with_our_prefix_are_not_ours() -> None:
    assert load_settings({}, {"TENUTO_DEBUG": "1"}) == load_settings({}, {})


def test_tables_of_the_file_are_completed_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[nats]\nservers = ["nats://a:1"]\nuser = "file"\n[sqs]\nwait = 5\n')
    environ = {"TENUTO_NATS_SERVERS": "nats://b:1, nats://c:1", "TENUTO_NATS_PASSWORD": "p", "TENUTO_NATS_TOKEN": ""}
    made = system_task_settings(load_settings({}, environ | {"TENUTO_BUS_GROUP": "g"}, str(file)))
    assert made.buses.group == "g"
    assert made.buses.nats == NatsSettings(servers=("nats://b:1", "nats://c:1"), user="file", password="p", token=None)
    assert made.buses.sqs.wait == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[nats]\nserver = 1", "server"),
        ("[kafka]\nsecurity_protocol = 'TLS'", "$.kafka.security_protocol"),
        ("[sqs]\nwait = 60", "$.sqs.wait"),
        ("[http]\nallow = ['a b']", "allow: 'a b' is no host name"),
        ("nats = 1", "$.nats"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=re.escape(said)) as raised:
        load_settings({}, {}, str(file))
    assert str(raised.value).startswith(str(file))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TENUTO_PORT", "many"),
        ("TENUTO_BODY_LIMIT", "0"),
        ("TENUTO_LOG_FORMAT", "xml"),
        ("TENUTO_HTTP_CONCURRENCY", "0"),
        ("TENUTO_HTTP_DENY", "http://x"),
        ("TENUTO_KAFKA_SECURITY_PROTOCOL", ""),
    ],
)
def test_the_variable_that_is_wrong_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        load_settings({}, {variable: value})


def test_what_is_shown_holds_no_secret() -> None:
    shown = public_settings(load_settings({"admin_key": "a:b", "secrets_key": "k", "db": "postgresql://u:p@h/d"}, {}))
    assert not {"admin_key", "secrets_key", "secrets_key_file", "db"} & set(shown)


def test_passwords_of_buses_are_not_shown() -> None:
    environ = {
        "TENUTO_NATS_SERVERS": "nats://user:hush@a:4222,nats://b:4222",
        "TENUTO_NATS_PASSWORD": "hush",
        "TENUTO_NATS_TOKEN": "hush",
        "TENUTO_KAFKA_PASSWORD": "hush",
        "TENUTO_SQS_ACCESS_KEY_ID": "hush",
        "TENUTO_SQS_SECRET_ACCESS_KEY": "hush",
        "TENUTO_AMQP_URL": "amqp://user:hush@c/vhost",
        "TENUTO_OTEL_ENDPOINT": "https://user:hush@d:4318",
    }
    shown = public_settings(load_settings({}, environ))
    assert "hush" not in str(shown)
    assert shown["nats"]["servers"] == ["nats://a:4222", "nats://b:4222"]
    assert shown["amqp"] == {"url": "amqp://c/vhost"}
    assert shown["otel_endpoint"] == "https://d:4318"
