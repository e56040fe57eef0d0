"""The container files agree with the app. They are not built here, which would need a container engine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from flask import Flask

from app.config import ROOT, Settings

pytestmark = pytest.mark.sqlite
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
COMMANDS = {name: service["command"] for name, service in SERVICES.items() if "command" in service}
COMMANDS["image"] = json.loads(re.findall(r"^CMD (.+)", DOCKERFILE, re.M)[0])


def parsed(app: Flask, command: list[str]) -> click.Context:
    """The command line of a container, parsed but not run."""
    program, name, *arguments = command
    assert program == "flask"
    return app.cli.commands[name].make_context(name, arguments)


def test_image_has_the_folders_of_the_app(app: Flask) -> None:
    copied = re.findall(r"^COPY (\S+)", DOCKERFILE, re.M)
    needed = {"requirements.txt", app.import_name, app.template_folder, Path(app.static_folder or "").name}
    assert needed == set(copied)
    included = (ROOT / ".dockerignore").read_text().splitlines()
    assert not [name for name in copied if f"!{name}" not in included]


@pytest.mark.parametrize("name", COMMANDS)
def test_command_of_a_container_exists(app: Flask, name: str) -> None:
    assert parsed(app, COMMANDS[name])


def test_health_check_asks_the_port_and_path_of_the_app(app: Flask) -> None:
    found = re.search(r"127\.0\.0\.1:(\d+)'.+'GET', '(\S+)'", DOCKERFILE)
    assert found
    port, path = found.groups()
    assert int(port) == parsed(app, COMMANDS["image"]).params["port"]
    assert app.test_client().get(path).status_code == 200


def test_compose_sets_valid_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES["web"]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = Settings.load(instance=tmp_path)
    assert settings.database_url.startswith("postgresql")
    assert not settings.serve_delivers
    assert "deliver" in SERVICES


def test_compose_keeps_the_volume_of_the_image() -> None:
    volume = re.findall(r"^VOLUME (\S+)", DOCKERFILE, re.M)[0]
    folder = re.findall(r"^WORKDIR (\S+)", DOCKERFILE, re.M)[0]
    assert volume == f"{folder}/{Settings.model_fields['instance'].default.relative_to(ROOT)}"
    for name in ("init", "web", "deliver"):
        assert SERVICES[name]["volumes"] == [f"instance:{volume}"]
