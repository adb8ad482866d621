"""The `kinoise` command: find the verb, compose its config, run it, report mistakes in one line.

Nothing heavy is imported before a verb runs, so help and completion answer at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import completion, help
from .errors import UsageError, suggest, user_line
from .verbs import VERBS, Verb
from .waiting import wait_asleep

if TYPE_CHECKING:
    from collections.abc import Sequence

OVERRIDE = re.compile(r"^(\+{0,2}[A-Za-z_][\w./@:-]*=|~\w)")

#: Settings whose value is text in a grammar of its own.
TEXTS = ("success",)

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (the process's own by default) and return the exit status."""
    wait_asleep()
    try:
        status = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # here and not while Python exits, so that a closed pipe is caught
    except BrokenPipeError:
        # Whoever read our output left; without this Python complains again while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except KeyboardInterrupt:
        print("kinoise: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        line = user_line(error)
        if line is None:
            raise
        print(f"kinoise: error: {line}", file=sys.stderr)
        return EXIT_USAGE
    return status


def _dispatch(argv: list[str]) -> int:
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:
        completion.answer(parser)
    if argv and not argv[0].startswith("-") and argv[0] not in VERBS:
        hint = suggest(argv[0], VERBS) or ";"
        raise UsageError(f"no verb named '{argv[0]}'{hint} verbs: {', '.join(VERBS)}")
    # Options may stand between the words; argparse hands back the words after them as unknown.
    try:
        arguments, rest = parser.parse_known_args(argv or ["--help"])
    except SystemExit:  # argparse's way to end after --help and --version
        return 0
    for word in rest:
        if word.startswith("-"):
            command = " ".join(("kinoise", *filter(None, [arguments.verb])))
            raise UsageError(f"no option '{word}'; `{command} --help` lists them")
    return _run(VERBS[arguments.verb], [*arguments.words, *rest], arguments)


def _run(verb: Verb, words: Sequence[str], options: argparse.Namespace) -> int:
    from .composing import compose, to_yaml

    overrides = to_overrides(verb, words)
    overrides += [f"{flag.key}=true" for flag in verb.flags if getattr(options, flag.key)]
    if options.multirun:
        from .multirun import run_many

        run_many(verb, overrides, options.config_dir)
        return 0
    config = compose(verb.name, overrides, extra=options.config_dir)
    if options.cfg:
        print(to_yaml(config), end="")
        return 0
    from .settings import settings_of

    settings = settings_of(verb.name, config)
    importlib.import_module(f"kinoise.scripts.{verb.module}").run(settings)
    return 0


def to_overrides(verb: Verb, words: Sequence[str]) -> list[str]:
    """Return the Hydra overrides that `words` mean: bare words fill the verb's positionals.

    Raises UsageError for one word too many or a word that is not among a positional's choices.
    """
    from .composing import quote

    bare = [word for word in words if not is_override(word)]
    if len(bare) > len(verb.positionals):
        extra = bare[len(verb.positionals)]
        raise UsageError(f"what to do with '{extra}'? usage: {help.usage(verb)}")
    overrides = [_as_text(word) for word in words if is_override(word)]
    for positional, word in zip(verb.positionals, bare, strict=False):
        if positional.choices and word not in positional.choices:
            hint = suggest(word, positional.choices) or ";"
            choices = ", ".join(positional.choices)
            raise UsageError(f"no {positional.key} named '{word}'{hint} choices: {choices}")
        overrides.append(f"{positional.key}={word if word.isidentifier() else quote(word)}")
    return overrides


def _as_text(word: str) -> str:
    """Return an override quoted where its value is a rule, whose signs are not Hydra's grammar."""
    from .composing import quote

    key, _, value = word.partition("=")
    is_bare = key.rpartition(".")[2] in TEXTS and value[:1] not in ("'", '"')
    return f"{key}={quote(value)}" if is_bare and set(value) & set("<>=!") else word


def is_override(word: str) -> bool:
    """Say whether `word` is a Hydra override; an existing path such as `runs/lr=3/x` is not."""
    if OVERRIDE.match(word) is None:
        return False
    try:
        return not Path(word).exists()
    except OSError:  # too long for a path
        return True


class _Parser(argparse.ArgumentParser):
    """An argument parser whose help may be computed and whose mistakes are ours to print."""

    verb: Verb | None = None

    def format_help(self) -> str:
        return help.for_verb(self.verb) if self.verb else help.for_command()

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


class _Version(argparse.Action):
    """Print the versions that a report of a fault needs, and stop."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(help.versions())
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command; each verb takes bare words and overrides alike."""
    parser = _Parser(prog="kinoise", allow_abbrev=False)
    parser.add_argument("--version", nargs=0, action=_Version, help="print versions and stop")
    subparsers = parser.add_subparsers(dest="verb", parser_class=_Parser)
    for verb in VERBS.values():
        own = subparsers.add_parser(verb.name, help=verb.summary, allow_abbrev=False)
        own.verb = verb
        own.add_argument("--cfg", action="store_true", help="print the config as YAML and stop")
        own.add_argument("--config-dir", action="append", default=[], type=Path, metavar="FOLDER")
        own.add_argument("-m", "--multirun", action="store_true", help="one run for every choice")
        for flag in verb.flags:
            own.add_argument(f"--{flag.key}", action="store_true", help=flag.help)
        words = own.add_argument("words", nargs="*")
        completion.attach(words, verb)
    return parser


if __name__ == "__main__":
    sys.exit(main())
