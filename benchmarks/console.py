"""The way of text to a terminal: what names and servers say is shown, never obeyed."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import Task, TextColumn
from rich.text import Text

from results.values.text import visible


class PlainConsole(Console):
    """A rich console that reads no markup, and writes control characters and marks of direction as escapes.

    Rich itself lets escape sequences through, and reads `[red]` in a table's title as markup.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:  # every string passes here
        return super().render_str(visible(text), **options)


class PlainTextColumn(TextColumn):
    """A column of a progress bar, with text shown as by `PlainConsole`."""

    def render(self, task: Task) -> Text:
        return Text(visible(self.text_format.format(task=task)), style=self.style, justify=self.justify)
