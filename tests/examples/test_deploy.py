"""What is in deploy/, and what docs/deployment.md says, fits the code: its commands, settings, paths and periods are
those that there are.

Whether the files are well-formed beyond that is for `docker compose config`, `hadolint` and `kubeconform` to say."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tenuto.cli.code import load
from tenuto.cli.main import make_app
from tenuto.engine.engine import LAST_WRITES
from tenuto.engine.ownership import LEASE, RENEWALS
from tenuto.server.routes import FAMILIES, health
from tenuto.server.settings import SECRET, Settings, load_settings
from tenuto.store.postgres import options

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
IMAGE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
CADDYFILE = (DEPLOY / "Caddyfile").read_text()
GUIDE = ROOT / "docs" / "deployment.md"

#: Seconds that a worker waits for activities that were told to end.
LAST_CALL = 5


# -- what the files hold -------------------------------------------------------------------------------------------


def ours() -> dict[str, dict[str, Any]]:
    """The services of the compose file that run the image of this repository."""
    return {name: service for name, service in SERVICES.items() if service.get("build")}


def manifests(kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in MANIFESTS if manifest["kind"] == kind]


def pods() -> dict[str, dict[str, Any]]:
    """The specs of all pods, by the name of what makes them."""
    makers = manifests("Deployment") + manifests("Job")
    return {maker["metadata"]["name"]: maker["spec"]["template"]["spec"] for maker in makers}


def container(pod: str) -> dict[str, Any]:
    (found,) = pods()[pod]["containers"]
    return found


def instructions(name: str) -> list[str]:
    """The arguments of all instructions of this name in the Dockerfile, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", IMAGE)
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)


def environments() -> Iterator[tuple[str, dict[str, str]]]:
    """Every environment that a process of ours gets, and where it is written."""
    yield (
        "Dockerfile",
        dict(re.findall(r"\b(TENUTO_\w+)=(\S+)", " ".join(instructions("ENV")))),
    )
    for name, service in ours().items():
        yield f"compose: {name}", service["environment"]
    secrets = {secret["metadata"]["name"]: secret["stringData"] for secret in manifests("Secret")}
    for name in pods():
        found = {each["name"]: each["value"] for each in container(name).get("env", [])}
        for source in container(name)["envFrom"]:
            found |= secrets[source["secretRef"]["name"]]
        yield f"kubernetes: {name}", found


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command line of ours, without the word `tenuto`, and where it is written."""
    yield "Dockerfile", json.loads(instructions("CMD")[-1])
    for name, service in ours().items():
        yield f"compose: {name}", service["command"]
    for name in pods():
        yield f"kubernetes: {name}", container(name)["args"]
    for line in re.findall(r"^ {4,}tenuto (.+)$|`tenuto\s([^`]+)`", GUIDE.read_text(), re.MULTILINE):
        yield f"guide: tenuto {''.join(line)}", shlex.split("".join(line), comments=True)


def paths() -> set[str]:
    """The paths that are asked for health and readiness."""
    found = set(re.findall(r"http://127\.0\.0\.1:8080(/\w+)", IMAGE)) | set(re.findall(r"health_uri (\S+)", CADDYFILE))
    for name in pods():
        found |= {probe["httpGet"]["path"] for _, probe in probes(name)}
    return found


def probes(pod: str) -> list[tuple[str, dict[str, Any]]]:
    return [(key, value) for key, value in container(pod).items() if key.endswith("Probe")]


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]


# -- commands and settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("where", "words"), [pytest.param(*each, id=each[0]) for each in commands()])
def test_every_command_is_one(where: str, words: list[str]) -> None:
    command: Any = typer.main.get_command(make_app())
    words = list(words)
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"{where}: there is no command {words[0]}"
        command = command.commands[words.pop(0)]
    if words or not where.startswith("guide"):  # which may speak of a command as such
        command.make_context(command.name, words)  # raises for an option that isn't there, and for a bad value


@pytest.mark.parametrize(("where", "environ"), [pytest.param(*each, id=each[0]) for each in environments()])
def test_every_variable_is_a_setting(where: str, environ: dict[str, str]) -> None:
    known = {f"TENUTO_{name.upper()}" for name in Settings.__struct_fields__}
    assert {name for name in environ if name.startswith("TENUTO_")} <= known
    load_settings({}, {name: str(value) for name, value in environ.items()})


def test_secrets_come_from_outside() -> None:
    """Nothing in these files is a secret that somebody could go on using."""
    secret = {f"TENUTO_{name.upper()}" for name in SECRET}
    for where, environ in environments():
        for name in secret & set(environ):
            assert re.search(r"\$\{\w+:\?|CHANGE-ME", environ[name]), f"{where}: {name}"
    assert "CHANGE-ME" not in json.dumps(COMPOSE)
    asked = set(re.findall(r"\$\{(\w+):\?", json.dumps(COMPOSE)))
    assert asked == set(re.findall(r"^(\w+)=$", (DEPLOY / "env.example").read_text(), re.MULTILINE))


def test_every_path_is_a_route() -> None:
    assert health.family in FAMILIES
    routes = {route.path for route in health.family.routes if route.method == "GET"}
    assert paths() == {"/health", "/ready"} <= routes


# -- the image -----------------------------------------------------------------------------------------------------


def test_the_image_runs_the_command_without_root() -> None:
    assert [json.loads(words) for words in instructions("ENTRYPOINT")] == [["tenuto"]]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    (user,) = instructions("USER")
    assert all(int(number) > 0 for number in user.split(":"))
    assert IMAGE.index("\nUSER ") < IMAGE.index("\nENTRYPOINT ")
    assert instructions("EXPOSE") == [str(Settings().port)]


def test_the_image_is_made_of_what_the_repository_has() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r'ARG EXTRAS="(.*)"', IMAGE)
    assert {"postgres", "fast"} <= set(extras.split()) <= set(project["optional-dependencies"])
    allowed = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    copied = [name for line in instructions("COPY") if "--from" not in line for name in line.split()[:-1]]
    assert set(copied) <= set(allowed)
    assert all((ROOT / name).exists() for name in copied)
    assert {project["readme"], *project["license-files"], "src"} <= set(copied), "the wheel is built from them"
    (uv,) = re.findall(r"^UV_REQUIREMENT := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert uv in IMAGE
    versions = re.findall(r"^FROM python:3\.(\d+)-slim", IMAGE, re.MULTILINE)
    assert len(versions) == 2
    assert len(set(versions)) == 1
    assert f"Python :: 3.{versions[0]}" in str(project["classifiers"])


# -- compose -------------------------------------------------------------------------------------------------------


def test_three_servers_two_workers_and_a_migration() -> None:
    verbs = {name: service["command"][0] for name, service in ours().items()}
    assert sorted(verbs.values()) == ["db", "server", "server", "server", "worker"]
    assert SERVICES["worker"]["deploy"]["replicas"] == 2
    for name, verb in verbs.items():
        service = SERVICES[name]
        asked = service["depends_on"]
        assert asked["postgres"] == {"condition": "service_healthy"}
        assert verb == "db" or asked["migrate"] == {"condition": "service_completed_successfully"}
        assert service.get("healthcheck", {}).get("disable", False) == (verb != "server")
        assert service["restart"].startswith("on-failure" if verb == "db" else "unless-stopped")


def test_what_compose_refers_to_exists() -> None:
    for name, service in SERVICES.items():
        for other in service.get("depends_on", []):
            assert other in SERVICES, f"{name} waits for {other}"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            there = (DEPLOY / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]
            assert there, f"{name} has {volume}"
        if service.get("build"):
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert SERVICES["balancer"]["ports"] == ["127.0.0.1:8080:8080"]
    (mounted,) = SERVICES["worker"]["volumes"]
    source, target, _ = mounted.split(":")
    assert target in SERVICES["worker"]["command"]
    assert load(str(DEPLOY / source)).workflows


def test_the_balancer_knows_the_servers_and_outwaits_nobody() -> None:
    (line,) = re.findall(r"reverse_proxy (.*) \{", CADDYFILE)
    servers = [name for name, service in ours().items() if service["command"] == ["server"]]
    assert line.split() == [f"{name}:{Settings().port}" for name in servers]
    # A poll may wait for a minute: what limits an answer's time must not be there at all.
    assert not re.search(r"read_timeout|response_header_timeout|write_timeout|stream_timeout", CADDYFILE)
    periods = {name: seconds(value) for name, value in re.findall(r"(health_\w+) (\d+m?s)\b", CADDYFILE)}
    assert periods["health_timeout"] > health.PATIENCE
    for name in servers:
        assert float(SERVICES[name]["environment"]["TENUTO_SHUTDOWN_DELAY"]) > 2 * periods["health_interval"]


@pytest.mark.skipif(shutil.which("caddy") is None, reason="there is no Caddy")
def test_caddy_takes_its_file() -> None:
    command = ["caddy", "validate", "--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


# -- Kubernetes ----------------------------------------------------------------------------------------------------


def test_everything_is_in_the_namespace() -> None:
    (namespace,) = (manifest["metadata"]["name"] for manifest in manifests("Namespace"))
    assert {manifest["metadata"].get("namespace", namespace) for manifest in MANIFESTS} == {namespace}
    assert sum("namespace" not in manifest["metadata"] for manifest in MANIFESTS) == 1
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in MANIFESTS]
    assert len(set(names)) == len(names)


def test_selectors_select() -> None:
    labels = {
        maker["metadata"]["name"]: maker["spec"]["template"]["metadata"]["labels"]
        for maker in manifests("Deployment") + manifests("Job")
    }
    for deployment in manifests("Deployment"):
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        assert selected(spec["selector"]["matchLabels"], labels) == [name]
        for spread in spec["template"]["spec"].get("topologySpreadConstraints", []):
            assert selected(spread["labelSelector"]["matchLabels"], labels) == [name]
    (service,) = manifests("Service")
    assert selected(service["spec"]["selector"], labels) == ["tenuto-server"]
    ports = {port["name"]: port["containerPort"] for port in container("tenuto-server")["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports)
    assert set(ports.values()) == {Settings().port}
    (budget,) = manifests("PodDisruptionBudget")
    assert selected(budget["spec"]["selector"]["matchLabels"], labels) == ["tenuto-server"]
    (scaler,) = manifests("HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] == "tenuto-worker"


def selected(wanted: dict[str, str], labels: dict[str, dict[str, str]]) -> list[str]:
    return [name for name, has in labels.items() if wanted.items() <= has.items()]


def test_three_servers_of_which_all_but_one_always_serve() -> None:
    servers = next(each["spec"] for each in manifests("Deployment") if each["metadata"]["name"] == "tenuto-server")
    assert servers["replicas"] == 3
    assert servers["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    (budget,) = manifests("PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1


def test_servers_are_asked_and_workers_are_not() -> None:
    asked = {kind: probe["httpGet"]["path"] for kind, probe in probes("tenuto-server")}
    assert asked == {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/ready"}
    ready = container("tenuto-server")["readinessProbe"]
    assert ready["timeoutSeconds"] > health.PATIENCE
    noticed = (ready["periodSeconds"] + ready["timeoutSeconds"]) * ready["failureThreshold"]
    (delay,) = (
        float(each["value"]) for each in container("tenuto-server")["env"] if each["name"] == "TENUTO_SHUTDOWN_DELAY"
    )
    assert delay >= noticed
    assert not probes("tenuto-worker")


def test_processes_have_no_more_rights_than_they_need() -> None:
    (user,) = instructions("USER")
    for name, pod in pods().items():
        assert pod["securityContext"]["runAsNonRoot"]
        assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == user
        assert pod["automountServiceAccountToken"] is False
        assert container(name)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


# -- the guide -----------------------------------------------------------------------------------------------------


def test_the_guide_names_what_there_is() -> None:
    text = GUIDE.read_text()
    source = "\n".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    for metric in re.findall(r"\btenuto_[a-z_]+", text):
        if metric not in ("tenuto_app", "tenuto_owner"):
            assert f'"{re.sub("_(total|sum|count|bucket)$", "", metric)}"' in source, metric
    for action in re.findall(r"`((?:engine|commit|partitions)_[a-z]+)`", text):
        assert f'"action": "{action}"' in source, action
    for variable in re.findall(r"TENUTO_[A-Z_]+", text):
        assert variable.removeprefix("TENUTO_").lower() in Settings.__struct_fields__, variable


def test_the_guide_has_the_options_of_the_url() -> None:
    text = GUIDE.read_text()
    table = text[text.index("| option |") : text.index("The password is never")]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    shown = {name: default.strip(" `") for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(shown) == {*options._OURS, *options._OF_DRIVER}
    usual = options.parse("postgresql://db.example.com/tenuto")._asdict()
    usual |= {"pooler": "transaction" if usual["pooled"] else "none", "notify": "on" if usual["notify"] else "off"}
    for name in options._OURS:
        assert shown[name] == (usual[name] if isinstance(usual[name], str) else f"{usual[name]:g}"), name


def test_the_guide_says_how_long_a_lease_is() -> None:
    text = GUIDE.read_text()
    assert f"the lease, {LEASE:g} s |" in text
    assert LEASE / RENEWALS == 1
    assert "renews its lease, once a second" in text


# -- time to stop --------------------------------------------------------------------------------------------------


def stopping() -> Iterator[tuple[str, float, list[str], dict[str, str]]]:
    """What stops: where it is written, the seconds until it is killed, its command and its environment."""
    given = dict(environments())
    for name, service in ours().items():
        if service["command"][0] in ("server", "worker"):
            where = f"compose: {name}"
            yield where, seconds(service["stop_grace_period"]), service["command"], given[where]
    for name, pod in pods().items():
        if name != "tenuto-migrate":
            where = f"kubernetes: {name}"
            yield where, pod["terminationGracePeriodSeconds"], container(name)["args"], given[where]


@pytest.mark.parametrize(("limit", "command", "environ"), [pytest.param(*each[1:], id=each[0]) for each in stopping()])
def test_nobody_is_killed_while_it_stops(limit: float, command: list[str], environ: dict[str, str]) -> None:
    if command[0] == "server":
        settings = load_settings({}, {name: str(value) for name, value in environ.items()})
        needed = settings.shutdown_delay + settings.shutdown_grace
    else:
        needed = float(command[command.index("--grace") + 1]) + LAST_CALL
    assert limit >= needed + LAST_WRITES
