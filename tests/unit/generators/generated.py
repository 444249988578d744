"""What the tests of generators share: how outputs are made, and what other programs say of them."""

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keyturn.api.base import Recipe
from keyturn.core.value import Value
from keyturn.generators import Generator, GeneratorContext, Outputs, make

NOW = datetime(2026, 11, 24, 12, 30, 15, 123456, tzinfo=UTC)

NEEDED: Mapping[str, Mapping[str, Any]] = {
    "certificate": {"commonName": "shop.test", "dnsNames": ["shop.test"]},
    "dockerConfig": {
        "registry": "registry.shop.test:5000",
        "username": "puller",
        "passwordFrom": {"name": "registry-password"},
    },
    "totp": {"account": "admin"},
}
"""The settings without which a generator cannot be."""


def generator_of(kind: str, settings: Mapping[str, Any] | None = None) -> Generator[Any]:
    return make(Recipe({kind: {**NEEDED.get(kind, {}), **(settings or {})}}))


def given_for(generator: Generator[Any]) -> GeneratorContext:
    """Give a generator what it needs of others: fresh passwords."""
    password = make(Recipe({"password": {}}))
    return GeneratorContext(NOW, {name: password.generate(GeneratorContext(NOW)) for name in generator.needs})


def made(generator: Generator[Any]) -> Outputs:
    return generator.generate(given_for(generator))


def made_by(kind: str, **settings: Any) -> dict[str, bytes]:
    """Make the outputs of a recipe and open their boxes."""
    return opened(made(generator_of(kind, settings)))


def opened(outputs: Outputs) -> dict[str, bytes]:
    return {name: value.reveal() for name, value in outputs.items()}


def boxed(outputs: Mapping[str, bytes]) -> Outputs:
    return {name: Value(content) for name, content in outputs.items()}


def run(*command: str, stdin: bytes | None = None, cwd: Path | None = None) -> bytes:
    """Run another program over what was made, and return what it says."""
    done = subprocess.run(command, input=stdin, cwd=cwd, check=False, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
