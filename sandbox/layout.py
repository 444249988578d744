"""Paths of the files of one plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of a plane, its two ports, and the paths that follow from them."""

    folder: Path
    port: int
    etcd_port: int

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def etcd(self) -> str:
        return f"https://127.0.0.1:{self.etcd_port}"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def ca_file(self) -> Path:
        return self.pki / "ca.crt"

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.log"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def certificate(self, name: str) -> tuple[Path, Path]:
        return self.pki / f"{name}.crt", self.pki / f"{name}.key"

    def kubeconfig_of(self, program: str) -> Path:
        return self.config / f"{program}.kubeconfig"

    def log(self, program: str) -> Path:
        return self.folder / "logs" / f"{program}.log"
