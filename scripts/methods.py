"""List every slot of the configs and what can stand in it, and the named families.

A method is a choice in each slot; `kinoise train slot=option` makes it, `family=name` many at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .command import catalogue
from .command.errors import UsageError, suggest

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.table import Table


def run(cfg: DictConfig) -> None:
    """Print the table of slots; `cfg.slot` names the only one to show, null for all.

    With `cfg.out`, write the page of all methods there instead. Raises UsageError for a slot that
    is not there, and for figures that are not.
    """
    from rich.console import Console

    if cfg.out is not None:
        from .reporting.methods_page import page, read_figures

        figures = None if cfg.figures is None else read_figures(Path(cfg.figures))
        Path(cfg.out).write_text(page(figures), encoding="utf-8")
        print(f"wrote {cfg.out}")
        return

    groups = catalogue.groups()
    if cfg.slot is not None:
        if cfg.slot not in groups:
            hint = suggest(cfg.slot, groups) or ";"
            raise UsageError(f"no slot named '{cfg.slot}'{hint} slots: {', '.join(groups)}")
        groups = {cfg.slot: groups[cfg.slot]}
    Console().print(methods_table(groups))


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
