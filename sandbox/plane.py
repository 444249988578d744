"""One running control plane: start, control by tests, end."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from . import build, commands, config, pki, runtime
from .api import NODES, Api, create_nodes, nodes_are_ready
from .config import Layout
from .control import Control, Program, launch
from .errors import SandboxError
from .node.real import RealNode

_END_TIMEOUT = 30.0
_FACTS = "plane.json"


class ControlPlane:
    """A Kubernetes control plane on this machine.

    Its nodes and their pods only pretend to run, but for those of the real node that `start_node` adds.
    """

    def __init__(
        self,
        layout: Layout,
        programs: build.Programs,
        flags: Sequence[str],
        supervisor: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.folder, self.server, self.ca_file = layout.folder, layout.server, layout.ca_file
        self.audit_log = layout.audit_log
        self.kubeconfig = layout.kubeconfig
        """A kubeconfig of group system:masters."""
        self.node: RealNode | None = None
        """The real node, if this plane has one."""
        self._layout = layout
        self._programs = programs
        self._flags = tuple(flags)
        self._supervisor = supervisor
        self._control = Control(layout.folder)

    @classmethod
    def start(
        cls,
        name: str | None = None,
        *,
        apiserver_flags: Sequence[str] = (),
        fake_nodes: int = NODES,
        kubernetes: str | None = None,
    ) -> Self:
        """Bring up a new plane and wait until it is ready; it ends with this process at the latest.

        `kubernetes` is its release, such as "1.36", as `build.ensure` takes it.
        """
        programs = build.ensure(kubernetes)  # before the claim: a build takes minutes and needs no name
        claim = runtime.claim(name or f"plane-{secrets.token_hex(4)}")
        supervisor: subprocess.Popen[bytes] | None = None
        try:
            port, etcd_port = runtime.free_ports(2)
            layout = Layout(claim.folder, port, etcd_port)
            config.write_all(layout)
            facts = {
                "port": port,
                "etcd_port": etcd_port,
                "programs": str(programs.folder),
                "apiserver_flags": list(apiserver_flags),
            }
            (claim.folder / _FACTS).write_text(json.dumps(facts))
            supervisor = launch(claim)
            plane = cls(layout, programs, apiserver_flags, supervisor)
            plane._boot(fake_nodes)
        except BaseException:
            if supervisor is not None:
                _reap(supervisor)
            claim.lock.close()
            runtime.remove_dead(claim.folder)
            raise
        finally:
            claim.lock.close()  # the supervisor holds it from here on
        return plane

    @classmethod
    def attach(cls, name: str) -> Self:
        """Return the running plane `name`, which another process may have started."""
        folder = runtime.folder_of(name)
        if not runtime.is_alive(folder):
            raise SandboxError(f"no control plane {name!r} is up")
        try:
            facts = json.loads((folder / _FACTS).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            raise SandboxError(f"the control plane {name!r} is being started") from None
        layout = Layout(folder, facts["port"], facts["etcd_port"])
        plane = cls(layout, build.Programs(Path(facts["programs"])), facts["apiserver_flags"])
        plane.node = RealNode.attach(plane._layout, plane._api(plane._layout), plane._control)
        return plane

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_node(self, images: Sequence[Path] = ()) -> RealNode:
        """Add a real node, which runs containers, and wait until it is ready; it needs root.

        `images` are archives that it gets beside those of `sandbox.node.images`; nothing can be pulled. It ends with
        the plane. The plane is of the newest release, for no kubelet may be newer than its API server.
        """
        api = self._api(self._layout)
        if (version := api.get("/version")["gitVersion"]) != build.KUBERNETES:
            raise SandboxError(
                f"a real node is of Kubernetes {build.KUBERNETES}: this plane, of {version}, cannot have one"
            )
        self.node = RealNode.start(self._layout, api, self._control, images)
        return self.node

    def stop(self) -> None:
        """End the plane and leave nothing behind; a plane that is gone is success."""
        try:
            if runtime.is_alive(self.folder):
                self._control.end()
        finally:
            if self._supervisor is not None:
                _reap(self._supervisor)
            runtime.remove_dead(self.folder)

    def detach(self) -> None:
        """Let the plane outlive this process."""
        self._control.detach()

    def programs(self) -> Mapping[str, Program]:
        """Return what runs and what has ended, by name."""
        return self._control.programs()

    def stop_apiserver(self) -> None:
        """End the API server: watches break, its clients see a refused connection."""
        # Left alone it serves its open watches for up to a minute, and these are to break.
        self._control.stop(commands.API_SERVER, patience=0.2)

    def start_apiserver(self) -> None:
        """Start the API server again on the same port and data, and wait until it is ready."""
        self._start_apiserver(self._layout)
        # Left alone they would come back when their growing pauses say so, half a minute late.
        self._start_controllers()

    def restore(self, backup: Path) -> None:
        """Start etcd with the data of a backup, and the API server after it: resource versions go back."""
        self.stop_apiserver()
        self._control.stop(commands.ETCD, patience=0.2)
        shutil.rmtree(self.folder / "etcd")
        shutil.copytree(backup, self.folder / "etcd")
        self._start_etcd()
        self.start_apiserver()

    def back_up(self, backup: Path) -> None:
        """Copy the data of etcd, which is stopped meanwhile."""
        self._control.stop(commands.ETCD, patience=0.2)
        shutil.copytree(self.folder / "etcd", backup)
        self._start_etcd()

    @contextmanager
    def watch_gap(self) -> Iterator[Path]:
        """Yield an admin kubeconfig for changes that no watcher of the usual address sees.

        The API server moves to another port for the length of the block: watches break and their clients
        cannot come back. Afterwards it serves its usual port again, remembers no older event, and answers
        watches and continued lists from before with 410 Gone.
        """
        (port,) = runtime.free_ports(1)
        aside = Layout(self.folder, port, self._layout.etcd_port)
        kubeconfig = self._layout.config / "aside.kubeconfig"
        content = self.kubeconfig.read_bytes().replace(self.server.encode(), aside.server.encode())
        pki.write_private(kubeconfig, content)
        self.stop_apiserver()
        self._start_apiserver(aside)
        try:
            yield kubeconfig
        finally:
            self.stop_apiserver()
            kubeconfig.unlink()
            # The current revision becomes a new one, and every older one unknown to etcd.
            key = base64.b64encode(b"keyturn-sandbox/gap").decode()
            written = self._etcd.post("/v3/kv/put", {"key": key, "value": ""})
            revision = written["header"]["revision"]
            self._etcd.post("/v3/kv/compaction", {"revision": revision, "physical": True})
            self.start_apiserver()

    def service_account_kubeconfig(self, namespace: str, name: str, path: Path) -> Path:
        """Write a kubeconfig with a token of an existing ServiceAccount, good for a day."""
        request = {"spec": {"expirationSeconds": 86_400}}
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}"
        token = self._api(self._layout).post(f"{account}/token", request)["status"]["token"]
        config.write_kubeconfig(path, self._layout, {"token": token}, namespace=namespace)
        return path

    def _boot(self, fake_nodes: int) -> None:
        at = self._layout
        self._start_etcd()
        self._start_apiserver(at)
        self._start_controllers()
        api = self._api(at)
        create_nodes(api, fake_nodes)
        self._control.wait_for(commands.KWOK, "running nodes", lambda: nodes_are_ready(api, fake_nodes))
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._control.wait_for(
            commands.CONTROLLER_MANAGER, "making service accounts", lambda: api.answers(account)
        )

    def _start_etcd(self) -> None:
        self._control.start(commands.ETCD, commands.etcd(self._programs, self._layout))
        self._control.wait_for(commands.ETCD, "healthy", lambda: self._etcd.answers("/health"))

    def _start_apiserver(self, at: Layout) -> None:
        command = commands.api_server(self._programs, self._layout, at.port, self._flags)
        self._control.start(commands.API_SERVER, command)
        api = self._api(at)
        self._control.wait_for(commands.API_SERVER, "ready", lambda: api.answers("/readyz"))

    def _start_controllers(self) -> None:
        for program, command in commands.controllers(self._programs, self._layout).items():
            self._control.stop(program, patience=1.0)
            self._control.start(program, command)

    @property
    def _etcd(self) -> Api:
        at = self._layout
        return Api(at.etcd, at.pki / "etcd-ca.crt", *at.certificate("etcd-client"))

    def _api(self, at: Layout) -> Api:
        return Api(at.server, at.ca_file, *at.certificate("admin"))


def _reap(supervisor: subprocess.Popen[bytes]) -> None:
    """Close the supervisor's input and wait until it has ended; kill it after a timeout."""
    if supervisor.stdin is not None:
        supervisor.stdin.close()
    try:
        supervisor.wait(timeout=_END_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(supervisor.pid, signal.SIGKILL)  # its programs are in its group
        supervisor.wait()
