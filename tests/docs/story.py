"""Run the snippets of a page one after the other, as a reader would, with small settings."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import yaml
from snippets import ROOT, Snippet, commands

#: Settings that leave of each verb the least work that still passes through all of it.
SMALL = {
    "collect": ["n_episodes=3", "n_envs=3", "n_workers=0"],
    "train": [
        "trainer.n_steps=3",
        "trainer.warmup_steps=1",
        "data.batch_size=8",
        "n_threads=1",
        "evaluation.n_episodes=1",
        "evaluation.n_workers=0",
    ],
    "eval": ["n_episodes=1", "n_workers=0", "videos=false"],
    "tune": ["n_chunks=4", "n_tables=10"],
    "control": ["seconds=0.5"],
    "familiarity": ["n_reference_episodes=2", "n_episodes=1", "n_plans=1", "n_workers=0"],
}
_ASSIGNMENT = re.compile(r"^[A-Z_]+=")


class Story:
    """A page that is being followed in a folder of its own.

    Args:
        folder: the working directory, on Python's path too.
        run: whether commands are run, not only composed and checked.
    """

    def __init__(self, folder: Path, *, run: bool = True) -> None:
        self.folder = folder
        self.run = run
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self._checks: dict[str, Callable[[list[str]], None]] = {
            "kinoise": self._kinoise,
            "make": _make,
            "pip": _pip,
            "python": self._python,
            "sim/bin/pip": lambda words: None,
            ".venv/bin/pre-commit": _dev_tool,
            "eval": _completion,
        }

    def follow(self, snippet: Snippet) -> None:
        """Do what a snippet says.

        Raises:
            AssertionError: a command that failed, or that nothing here can check.
        """
        if snippet.title:
            path = self.folder / snippet.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(snippet.text)
        elif snippet.language == "python":
            code = compile(snippet.text, snippet.place, "exec")
            exec(code, self.namespace)
        elif snippet.language == "yaml":
            yaml.safe_load(snippet.text)
        elif snippet.language == "bash":
            for command in commands(snippet.text):
                self.command(command)
        else:
            assert snippet.language == "text", f"a snippet in {snippet.language or 'no language'}"

    def command(self, command: str) -> None:
        """Run or check one command of a shell."""
        words = shlex.split(command, comments=True)
        while _ASSIGNMENT.match(words[0]):
            words.pop(0)

        assert words[0] in self._checks, f"nothing here can check `{command}`"
        self._checks[words[0]](words[1:])

    def _kinoise(self, words: list[str]) -> None:
        (script,) = entry_points(group="console_scripts", name="kinoise")
        main = script.load()
        assert main([*_first_choices(words), "--cfg"]) == 0, words
        if self.run:
            assert main([*words, *SMALL.get(words[0], [])]) == 0, words

    def _python(self, words: list[str]) -> None:
        """Check a program; a virtual environment to make is stood in for by this one."""
        if words[:2] != ["-m", "venv"]:
            _program(words)
            return
        stand_in = self.folder / words[2] / "bin" / "python"
        stand_in.parent.mkdir(parents=True)
        stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        stand_in.chmod(0o755)


def _first_choices(words: list[str]) -> list[str]:
    """Return the first run of a command that starts many, and any other as it is."""
    if not {"-m", "--multirun"} & set(words):
        return words
    kept = [word for word in words if word not in ("-m", "--multirun")]
    return [word.partition(",")[0] for word in kept]


def _make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in words:
        assert re.search(rf"^{target}:", makefile, re.M), f"no target '{target}'"


def _pip(words: list[str]) -> None:
    """Check that an installation of the checkout names files and extras that exist."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        if word.endswith(".txt"):
            assert (ROOT / word).is_file(), word
        if extras := re.search(r"\[(.+)\]", word):
            unknown = set(extras[1].split(",")) - set(project["optional-dependencies"])
            assert not unknown, f"no extra {unknown}"


def _program(words: list[str]) -> None:
    """Check that a program of the repository is there, and takes the options."""
    source = (ROOT / words[0]).read_text()
    for word in words[1:]:
        assert not word.startswith("--") or f'"{word}"' in source, f"{words[0]} takes no {word}"


def _dev_tool(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "pre-commit" in project["optional-dependencies"]["dev"]


def _completion(words: list[str]) -> None:
    assert words == ["$(register-python-argcomplete kinoise)"]


def forget(folder: Path) -> None:
    """Unload the modules that a story imported from its folder."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(folder):
            del sys.modules[name]
