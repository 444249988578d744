"""That no operator of any test has logged a value: a gate over the whole run, however many processes share it."""

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from sandbox import ControlPlane
from tests.leaks.scan import forms_of_all, traces
from tests.support import objects
from tests.support.operator import BEGUN

LEAKED = 11
"""How a run ends that would have passed; beyond pytest's own exit codes."""
_FOUND = "leaks"
_SHORTEST_LINE = 32


class ValueRecorder:
    """Records, in memory only, each value that an operator could read in a test, and the log of each operator."""

    def __init__(self) -> None:
        self.values: dict[bytes, str] = {}
        """Where each was first seen, in words without a value."""
        self.logs: dict[Path, str] = {}
        """Which test wrote each first."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Look before the fixtures clean up."""
        arguments = getattr(item, "funcargs", {})
        if isinstance(arguments.get("namespace"), str) and "kubectl" in arguments:
            self.record(arguments["kubectl"].kubeconfig, arguments["namespace"])
        if begun := BEGUN - self.logs.keys():
            self.logs |= dict.fromkeys(begun, item.nodeid)
            for plane in set(_planes_among(arguments.values())):
                self.record(plane.kubeconfig)

    def record(self, kubeconfig: Path, namespace: str = "") -> None:
        """Remember the values of all Secrets of a namespace, or of the cluster."""
        try:
            found = objects.shared(kubeconfig).all("Secret", namespace)
        except (objects.Refused, ApiException, HTTPError, ConfigException):
            return  # a test may have taken the API server away, or all of it
        for secret in found:
            name = f"Secret {secret['metadata']['namespace']}/{secret['metadata']['name']}"
            self.values |= dict.fromkeys(generated([secret]) - self.values.keys(), name)

    def leaks(self) -> set[str]:
        """Say which values stand in which logs: whose they are, in which form, and in the midst of what."""
        forms = forms_of_all(self.values)
        return {
            f"{form.name} in {log.name} of {test}, from {self.values[form.value]}: {line}"
            for log, test in self.logs.items()
            if log.exists()
            for form, line in traces(forms, log.read_bytes())
        }


def _planes_among(arguments: Iterable[object]) -> Iterator[ControlPlane]:
    for one in arguments:
        plane = getattr(one, "plane", one)
        if isinstance(plane, ControlPlane):
            yield plane


def generated(secrets: Iterable[Any]) -> set[bytes]:
    """Take every value of these Secrets, and every one that their states remember."""
    values: set[bytes] = set()
    for secret in secrets:
        data = {name: base64.b64decode(text) for name, text in (secret.get("data") or {}).items()}
        if secret.get("type") != "keyturn.dev/state":
            values |= set(data.values())
            continue
        try:
            revisions = json.loads(data["state"])["revisions"]
            values |= {base64.b64decode(text) for revision in revisions for text in _recorded(revision)}
        except (KeyError, TypeError, ValueError, AttributeError):
            continue  # a test has spoiled it
    return values | {line for value in values for line in _lines_of_a_key(value)}


def _lines_of_a_key(value: bytes) -> Iterator[bytes]:
    """Return the parts of a private key: it has many lines, and one alone may get out."""
    if b"PRIVATE KEY" in value:
        yield from (line for line in value.splitlines() if len(line) > _SHORTEST_LINE and b" " not in line)


def _recorded(revision: Any) -> Iterator[str]:
    for kept in revision["values"].values():
        for part in ("outputs", "overlap", "previous"):
            yield from kept[part].values()
    yield from (rendered["value"] for rendered in revision["rendered"].values())


class LeakGate:
    """Fails a run in which an operator has logged a value, whatever its tests say.

    It looks when every test is over. Processes that share the tests (pytest-xdist) look at what they saw themselves,
    and tell the one that started them where something was found, never what.
    """

    def __init__(self, recorder: ValueRecorder) -> None:
        self._recorder = recorder
        self._found: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._found |= self._recorder.leaks()
        if to_controller := getattr(session.config, "workeroutput", None):
            to_controller[_FOUND] = sorted(self._found)
        elif self._found:
            session.exitstatus = LEAKED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._found |= set(getattr(node, "workeroutput", {}).get(_FOUND, ()))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for place in sorted(self._found):
            terminalreporter.write_line(f"FAILED: an operator has logged {place}", red=True)
