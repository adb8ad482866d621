"""Write the help pages of the `kinoise` command."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

from . import catalogue
from .verbs import VERBS, Verb

WIDTH = 96
MULTIRUN = [("-m, --multirun", "one run for every choice in key=a,b; results in one table")]
VERSIONED = ("torch", "mujoco", "gymnasium", "zarr", "diffusers", "hydra-core", "numpy")


def for_command() -> str:
    """Return the page of `kinoise --help`."""
    verbs = "\n".join(f"  {verb.name:<11} {verb.summary}" for verb in VERBS.values())
    return f"""\
usage: kinoise VERB [words] [key=value ...]

Learn a robot policy from demonstrations by denoising chunks of actions,
prove it in simulation, and run it in real time.

verbs:
{verbs}

examples:
  kinoise demo
  kinoise collect task=pick_place
  kinoise train experiment=pusht_human
  kinoise eval runs/pick_place sampler=ddim

Words of the form key=value are Hydra overrides: group=option chooses what stands in a slot,
key.sub=value changes a setting, +key=value adds one. `kinoise methods` lists the slots.

options:
  -h, --help  this page; after a verb, that verb's page
  --version   versions of Kinoise and of what it builds on
  --cfg       after a verb: print the composed config as YAML and stop
  -m          after train or eval: one run for every choice in key=a,b (Hydra's --multirun)
  --config-dir FOLDER  after a verb: look for YAML files of your own there too

shell completion (bash, zsh): eval "$(register-python-argcomplete kinoise)"
"""


def for_verb(verb: Verb) -> str:
    """Return the page of `kinoise <verb> --help`; a part with nothing to say is left out."""
    parts = (
        f"usage: {usage(verb)}",
        _about(verb),
        _section("words", [(each.metavar, each.help) for each in verb.positionals]),
        _section("examples", list(verb.examples)),
        _slots(verb),
        _settings(verb),
        _section(
            "options",
            [
                ("-h, --help", "this page"),
                *((f"--{flag.key}", flag.help) for flag in verb.flags),
                ("--cfg", "print the composed config as YAML and stop"),
                ("--config-dir FOLDER", "look for YAML files of your own there too"),
                *MULTIRUN[: verb.figures != ""],
            ],
        ),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def usage(verb: Verb) -> str:
    """Return the one-line usage of a verb."""
    words = [each.metavar if each.required else f"[{each.metavar}]" for each in verb.positionals]
    return " ".join(("kinoise", verb.name, *words, "[--cfg]", "[key=value ...]"))


def versions() -> str:
    """Return the version of Kinoise and, below it, of what it builds on, without importing it."""
    import platform
    from importlib import metadata

    lines = [f"kinoise {metadata.version('kinoise')}", f"  python {platform.python_version()}"]
    for name in VERSIONED:
        try:
            lines.append(f"  {name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"  {name} not installed")
    return "\n".join(lines)


def _about(verb: Verb) -> str:
    """Return the docstring of the verb's module, read without importing it."""
    path = Path(__file__).parents[1] / f"{verb.module.replace('.', '/')}.py"
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) if path.exists() else None
    return docstring or f"{verb.summary[0].upper()}{verb.summary[1:]}."


def _section(title: str, rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    width = max(len(left) for left, _ in rows)
    return "\n".join((f"{title}:", *(f"  {left:<{width}}  {right}" for left, right in rows)))


def _slots(verb: Verb) -> str:
    chosen = catalogue.slots(verb.name)
    if not chosen:
        return ""
    groups = catalogue.groups()
    width = max(len(name) for name in chosen)
    lines = ["slots, chosen by slot=option (* stands there by default):"]
    for name, default in chosen.items():
        options = groups.get(name.split("@")[0], [])
        marked = "  ".join(f"*{each}" if each == default else each for each in options)
        indent = " " * (width + 4)
        lines += textwrap.wrap(
            f"  {name:<{width}}  {marked}", WIDTH, subsequent_indent=indent, break_on_hyphens=False
        )
    return "\n".join(lines)


def _settings(verb: Verb) -> str:
    text = catalogue.settings_text(verb.name)
    if not text:
        return ""
    heading = f"settings, changed by key=value (`kinoise {verb.name} --cfg` adds the slots' own):"
    return f"{heading}\n{textwrap.indent(text, '  ')}"
