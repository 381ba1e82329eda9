"""docker-compose.yml, as the compose client understands it. Nothing is started: that needs Docker's daemon."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SECRETS = {"PLAYGROUND_PASSWORD": "w0rd", "PLAYGROUND_TOKEN": "t0ken"}


@functools.cache
def client() -> list[str]:
    """`docker compose`, or `docker-compose` of version 2 or newer (the first one knows no inline Dockerfile)."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is not None:
            done = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, timeout=30)
            if done.returncode == 0 and not done.stdout.strip().startswith("1."):
                return command
    return []


def configured(**environment: str) -> subprocess.CompletedProcess[str]:
    if not client():
        pytest.skip("there is no compose client here (docker compose, or docker-compose 2)")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLAYGROUND_")}
    return subprocess.run(
        [*client(), "--file", str(REPOSITORY / "docker-compose.yml"), "config", "--format", "json"],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def services(**environment: str) -> dict[str, Any]:
    done = configured(**SECRETS, **environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def test_redis_has_a_password_a_health_check_and_a_volume_and_is_not_published():
    redis = services()["redis"]

    assert redis["command"][redis["command"].index("--requirepass") + 1] == "w0rd"
    assert redis["command"][redis["command"].index("--maxmemory-policy") + 1] == "noeviction"
    assert "redis-cli ping" in redis["healthcheck"]["test"][-1]
    assert [volume["type"] for volume in redis["volumes"]] == ["volume"]
    assert "ports" not in redis


def test_lab_is_reached_from_this_machine_only_and_waits_for_redis():
    lab = services()["lab"]

    (port,) = lab["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "8888", 8888)
    assert lab["depends_on"]["redis"]["condition"] == "service_healthy"
    assert lab["environment"]["JUPYTER_TOKEN"] == "t0ken"
    assert lab["environment"]["PLAYGROUND_REDIS_URL"] == "redis://:w0rd@redis:6379/0"


def test_notebooks_lie_on_the_host_and_belong_to_its_user(tmp_path):
    lab = services(PLAYGROUND_UID="1234", PLAYGROUND_GID="56", PLAYGROUND_FOLDER=str(tmp_path))["lab"]

    (volume,) = lab["volumes"]
    assert (volume["type"], volume["source"]) == ("bind", str(tmp_path))
    assert lab["user"] == "1234:56"
    assert services()["lab"]["volumes"][0]["source"] == str(REPOSITORY / "notebooks")


def test_the_image_is_built_from_this_repository():
    build = services()["lab"]["build"]

    assert build["context"] == str(REPOSITORY)
    copied = {line.removeprefix("!") for line in (REPOSITORY / ".dockerignore").read_text().splitlines()}
    assert "COPY . ." in build["dockerfile_inline"]
    assert {"pyproject.toml", "playground_ext", "kernels", "templates", "LICENSE", "README.md"} <= copied


@pytest.mark.parametrize("missing", SECRETS)
def test_nothing_starts_without_its_secrets(missing):
    given = {name: value for name, value in SECRETS.items() if name != missing}

    done = configured(**given)

    assert done.returncode != 0
    assert missing in done.stderr
