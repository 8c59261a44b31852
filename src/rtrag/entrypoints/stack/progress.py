"""What is going on, on the error stream: a line that turns while something takes long, and one for what is done."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from rich.console import Console


class Silent:
    """Progress that nobody reads: what is done shows in the result."""

    def working(self, text: str) -> AbstractContextManager[object]:  # noqa: ARG002 - nothing is said
        return nullcontext()

    def done(self, text: str) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """Progress for people."""

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))

    def working(self, text: str) -> AbstractContextManager[object]:
        """Show the text for as long as the context lasts, where there is a terminal."""
        return self.console.status(f"{text} …")

    def done(self, text: str) -> None:
        """A line that stays."""
        self.console.print(f"[green]✓[/green] {text}", soft_wrap=True)
