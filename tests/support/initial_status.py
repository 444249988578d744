"""Status that the API server sets by default, according to the CRDs."""

import functools
from pathlib import Path
from typing import Any

import yaml

_CRDS = Path(__file__).parents[2] / "crds"


@functools.cache
def _by_kind() -> dict[str, dict[str, Any]]:
    bodies = (
        yaml.load(path.read_text(), Loader=yaml.CSafeLoader) for path in _CRDS.glob("keyturn.dev_*.yaml")
    )
    return {body["spec"]["names"]["kind"]: body["spec"]["versions"][0] for body in bodies}


def filled_in(kind: str) -> dict[str, Any]:
    schema = _by_kind()[kind]["schema"]["openAPIV3Schema"]
    default: dict[str, Any] = schema["properties"]["status"]["default"]
    return default
