"""Which services are named when a value turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.offline.dotenv.compose import users_of

if TYPE_CHECKING:
    from tests.unit.offline.dotenv.project_folder import Folder

_NAMES = frozenset({"JWT_SECRET"})


def users(folder: Folder) -> frozenset[str] | None:
    return users_of(folder.path, _NAMES, ".env.production")


@pytest.mark.parametrize(
    "use",
    [
        "environment: {JWT_SECRET: ''}",
        "environment: [JWT_SECRET]",
        "environment: [JWT_SECRET=x]",
        "environment: {TOKEN: '${JWT_SECRET:?missing}'}",
        "command: serve --key $JWT_SECRET",
        "env_file: .env.production",
        "env_file: [a.env, ./.env.production]",
        "env_file: [{path: .env.production, required: false}]",
        "env_file: .env.${STAGE:-development}",
        "env_file: .env",
        "secrets: [jwt_secret]",
        "secrets: [{source: jwt_secret, target: key}]",
        "labels: !override {a: {b: ['${JWT_SECRET}']}}\n    environment: [JWT_SECRET]",
    ],
)
def test_a_service_that_uses_the_value_is_named(use: str, folder: Folder) -> None:
    folder.put("compose.yaml", f"services:\n  api:\n    image: a\n    {use}\n  other: {{image: b}}\n")

    assert users(folder) == frozenset({"api"})


@pytest.mark.parametrize(
    "use",
    [
        "image: a",
        "environment: {JWT_SECRET_FILE: x}",
        "command: $JWT_SECRET_FILE ${JWT_SECRETS}",
        "env_file: .env.staging",
        "secrets: [jwt_secret_old]",
        "environment:",
        "env_file: []",
    ],
)
def test_a_service_that_does_not_is_not(use: str, folder: Folder) -> None:
    folder.put("compose.yaml", f"services:\n  api:\n    {use}\n")

    assert users(folder) == frozenset()


@pytest.mark.parametrize(
    "name", ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.override.yml"]
)
def test_every_name_that_compose_knows_is_read(name: str, folder: Folder) -> None:
    folder.put(name, "services: {api: {environment: [JWT_SECRET]}}\n")

    assert users(folder) == frozenset({"api"})


def test_without_a_compose_file_no_question_is_asked(folder: Folder) -> None:
    assert users(folder) is None


def test_aliases_of_aliases_take_no_time(folder: Folder) -> None:
    layers = "".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 30))
    folder.put("compose.yaml", f"x0: &x0 [a]\n{layers}services: {{api: {{command: *x29}}}}\n")

    assert users(folder) == frozenset()


def test_a_rotation_names_the_services_also_of_what_reads_the_value(folder: Folder) -> None:
    folder.example("DB_PASSWORD=\nDATABASE_URL=pg://${DB_PASSWORD}@db\n")
    folder.init()
    folder.put(
        "compose.yaml",
        "services: {db: {environment: [DB_PASSWORD]}, api: {environment: [DATABASE_URL]}, cache: {image: redis}}\n",
    )

    output = folder.init("--rotate=DB_PASSWORD")

    assert output.splitlines()[-1] == "to restart: docker compose up -d --force-recreate api db"


@pytest.mark.parametrize("content", ["a: b: c", "services: []", "- x", "", "\0"], ids=repr)
def test_a_compose_file_that_cannot_be_read_holds_nothing_up(content: str, folder: Folder) -> None:
    folder.example("DB_PASSWORD=\n")
    folder.init()
    folder.put("compose.yaml", content)

    output = folder.init("--rotate=DB_PASSWORD")

    assert output.splitlines()[-1] == (
        "restart what uses it; compose.yaml cannot be read as a compose file with services"
    )
