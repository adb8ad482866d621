"""List every slot of the configs and what can stand in it, and the named families.

A method is a choice in each slot; `kinoise train slot=option` makes it, `family=name` many at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .command import catalogue
from .command.errors import UsageError, suggest
from .command.files import write_atomically
from .command.places import check_file

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Settings:
    """See `configs/methods.yaml`."""

    slot: str | None
    out: Path | None
    figures: Path | None

    def __post_init__(self) -> None:
        if self.figures is not None and self.out is None:
            raise UsageError("figures belong on the page of methods; name it with out=PAGE.md")


def run(settings: Settings) -> None:
    """Print the table of slots, or of one slot; with `out`, write the page of all methods there.

    Raises:
        UsageError: a slot or figures that are not there.
    """
    if settings.out is not None:
        _write_page(settings.out, settings.figures)
        return
    from rich.console import Console

    groups = catalogue.groups()
    slot = settings.slot
    if slot is not None:
        if slot not in groups:
            hint = suggest(slot, groups) or ";"
            raise UsageError(f"no slot named '{slot}'{hint} slots: {', '.join(groups)}")
        groups = {slot: groups[slot]}
    Console().print(methods_table(groups))


def _write_page(out: Path, figures: Path | None) -> None:
    from .reporting.methods_page import page, read_figures

    check_file("out", out)
    record = None if figures is None else read_figures(figures)
    write_atomically(out, page(record))
    print(f"wrote {out}")


def methods_table(groups: dict[str, list[str]]) -> Table:
    """Return the slots, their options and each option's own description as a table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    root = catalogue.config_folder()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("slot", style="bold", no_wrap=True)
    table.add_column("option", style="cyan", no_wrap=True)
    table.add_column("what it is")
    for group, options in groups.items():
        for i, option in enumerate(options):
            about = catalogue.description(root / group / f"{option}.yaml")
            last = i == len(options) - 1
            table.add_row("" if i else group, option, Text(about), end_section=last)
    return table
