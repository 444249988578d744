"""Output of the demo: colours and a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Iterator


class Screen:
    """Titles, commands with their output, and what came true after how long."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._section = 0
        self._started = time.monotonic()

    def title(self, text: str) -> None:
        self._section += 1
        self._console.print(f"\n[bold cyan]{self._section}. {escape(text)}[/]")

    def end(self, text: str) -> None:
        self._console.print(
            f"\n[bold green]{escape(text)}[/] [dim]({time.monotonic() - self._started:.1f} s)[/]"
        )

    def say(self, text: str) -> None:
        self._console.print(f"   {escape(text)}")

    def command(self, line: str) -> None:
        self._console.print(f"   [bold]$ {escape(line)}[/]")

    def output(self, text: str) -> None:
        for line in text.rstrip().splitlines():
            self._console.print(f"     [dim]{escape(line.rstrip())}[/]")

    def change(self, seconds: float, text: str) -> None:
        self._console.print(f"     [dim]+{seconds:4.1f} s[/]  {escape(text)}")

    def tick(self, text: str, seconds: float | None = None) -> None:
        after = "" if seconds is None else f" [dim]({seconds:.1f} s)[/]"
        self._console.print(f"   [green]✓[/] {escape(text)}{after}")

    def cross(self, text: str) -> None:
        self._console.print(f"   [bold red]✗[/] {escape(text)}")

    def question(self, text: str) -> bool:
        """Ask a question; the end of the input counts as no."""
        try:
            return self._console.input(f"   {escape(text)} \\[y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            self._console.print()
            return False

    @contextmanager
    def progress(self, doing: str, done: str) -> Iterator[None]:
        """Show that a block runs, and for how long it ran once it has succeeded."""
        began = time.monotonic()
        is_alive = self._console.is_terminal
        with self._console.status(f"{escape(doing)} …") if is_alive else nullcontext():
            yield
        self.tick(done, time.monotonic() - began)
