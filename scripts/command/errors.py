"""Turn a caller's mistake into one line; leave a bug its traceback."""

from __future__ import annotations

import difflib
import errno
import importlib
import inspect
import re
import sys
from collections.abc import Iterable

# Where each room keeps the one exception that means "the caller can mend this".
ROOM_ERRORS = (
    ("kinoise.policy.errors", "PolicyError"),
    ("kinoise.envs.errors", "EnvError"),
    ("kinoise.datasets.errors", "DatasetError"),
)

# What the operating system refuses, and what the user can do about it.
SYSTEM_REFUSALS = {
    errno.ENOSPC: ("disk full", "free some space and run it again; what was finished is kept"),
    errno.EDQUOT: ("disk quota used up", "free some space and run it again"),
    errno.EROFS: ("read-only file system", "choose another output folder"),
    errno.ENAMETOOLONG: ("path too long", "choose a shorter one"),
    errno.ENOTDIR: ("a file stands in the way", "choose another path"),
    errno.EISDIR: ("a folder stands there", "name a file"),
    errno.ELOOP: ("links that lead in a circle", "choose another path"),
    errno.EACCES: ("permission denied", "choose another path or change its permissions"),
}


class UsageError(Exception):
    """The command cannot do what was asked; the message is one line that names the mend."""


def suggest(name: str, choices: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest of `choices`, or "" where none is near."""
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


def user_line(error: BaseException) -> str | None:
    """Return the line to print for a mistake of the user's, None for a bug."""
    if isinstance(error, _user_errors()):
        return _one_line(str(error))
    if isinstance(error, OSError) and error.errno in SYSTEM_REFUSALS:
        return _refusal_line(error)
    if "No space left on device" in str(error):  # safetensors wraps the OSError in its own class
        what, mend = SYSTEM_REFUSALS[errno.ENOSPC]
        return f"{what}: {_one_line(str(error))}; {mend}"
    if _is_instantiation_error(error):
        return _instantiation_line(error)
    return None


def _user_errors() -> tuple[type[BaseException], ...]:
    """Return the exceptions that mean a user's mistake, of those rooms that were imported."""
    found: list[type[BaseException]] = [UsageError]
    for module, name in ROOM_ERRORS:
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


def _refusal_line(error: OSError) -> str:
    what, mend = SYSTEM_REFUSALS[error.errno or 0]
    name = str(error.filename or "")
    place = f" at '{name if len(name) < 100 else f'{name[:97]}...'}'" if name else ""
    return f"{what}{place}; {mend}"


def _is_instantiation_error(error: BaseException) -> bool:
    hydra_errors = sys.modules.get("hydra.errors")
    return hydra_errors is not None and isinstance(error, hydra_errors.InstantiationException)


def _instantiation_line(error: BaseException) -> str | None:
    """Explain a constructor that refused its config: the schema is the constructor itself."""
    cause = error.__cause__
    if cause is None:
        return None
    if (line := user_line(cause)) is not None:
        return line
    unknown = re.search(r"got an unexpected keyword argument '(\w+)'", str(cause))
    target = re.search(r"target '([\w.]+)'", str(error))
    if not isinstance(cause, TypeError) or unknown is None or target is None:
        return None
    key = re.search(r"full_key: (\S+)", str(error))
    where = f"{key[1]}: " if key else ""
    module, _, name = target[1].rpartition(".")
    settings = list(inspect.signature(getattr(importlib.import_module(module), name)).parameters)
    hint = suggest(unknown[1], settings)
    return f"{where}{name} has no setting '{unknown[1]}'{hint}; it has: {', '.join(settings)}"


def _one_line(text: str) -> str:
    """Return a text on one line, what does not print escaped: files may hold any name."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
