"""Loggers: where the curves of a training are shown besides its own `metrics.jsonl`.

Each is a factory `(folder, resume_at)` of an object with `write` and `close`; what it needs is
imported when it is made.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from importlib import import_module, util
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ..errors import PolicyError

#: What brings the module of each logger.
EXTRAS = {
    "tensorboard": "pip install 'kinoise[train]'",
    "wandb": "pip install 'kinoise[wandb]'",
    "trackio": "pip install 'kinoise[trackio]'",
}


@runtime_checkable
class Logger(Protocol):
    """Shows the scalars of a training."""

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Record scalars at an optimizer step."""

    def close(self) -> None:
        """Finish; everything written is kept."""


#: Makes the logger of a run: its folder, and the step after which a resumed run writes.
LoggerFactory = Callable[[Path, int], Logger]


class Nothing:
    """Shows nothing."""

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Forget the scalars."""

    def close(self) -> None:
        """Nothing to finish."""


class TensorBoard:
    """Event files in the run's folder.

    Args:
        folder: the run's folder.
        resume_at: events after this step are hidden, so that a resumed run has one history.

    Raises:
        PolicyError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, resume_at: int = 0) -> None:
        require("tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=resume_at + 1)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        self._board.close()


class WandB:
    """Weights & Biases: one run there for a run here, resumed ones included.

    Args:
        folder: the run's folder; the files of `wandb` stand in it.
        resume_at: steps taken already; not needed, as steps only grow.
        project: project to show it in.
        name: name of the run; None for that of the folder.
        mode: "online", "offline" (send later by `wandb sync`) or "disabled"; None for what the
            environment says.

    Raises:
        PolicyError: `wandb` is not installed, or its server cannot be reached.
    """

    def __init__(
        self,
        folder: Path,
        resume_at: int = 0,
        *,
        project: str = "kinoise",
        name: str | None = None,
        mode: str | None = None,
    ) -> None:
        wandb = require("wandb")
        choice: dict[str, Any] = {} if mode is None else {"mode": mode}
        try:
            self._run = wandb.init(
                project=project,
                name=name or folder.resolve().name,
                dir=str(folder),
                id=_identity(folder / "wandb.id"),
                resume="allow",
                **choice,
            )
        except Exception as error:
            raise PolicyError(
                f"wandb does not start ({_first_line(error)}); log in with `wandb login`, or give "
                "logger.mode=offline"
            ) from error

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        self._run.log(dict(scalars), step=step)

    def close(self) -> None:
        self._run.finish()


class Trackio:
    """Trackio: curves in a database of this machine.

    Args:
        folder: the run's folder.
        resume_at: steps taken already; above 0 the run there goes on.
        project: project to show it in.
        name: name of the run; None for that of the folder.

    Raises:
        PolicyError: `trackio` is not installed.
    """

    def __init__(
        self,
        folder: Path,
        resume_at: int = 0,
        *,
        project: str = "kinoise",
        name: str | None = None,
    ) -> None:
        trackio = require("trackio")
        self._run = trackio.init(
            project=project,
            name=name or folder.resolve().name,
            resume="allow" if resume_at else "never",
            embed=False,
        )

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        self._run.log(dict(scalars), step=step)

    def close(self) -> None:
        self._run.finish()


def auto(folder: Path, resume_at: int = 0) -> Logger:
    """Return TensorBoard where it is installed, else what shows nothing."""
    if util.find_spec("tensorboard") is None:
        return Nothing()
    return TensorBoard(folder, resume_at)


def require(module: str) -> Any:
    """Return a module that is no dependency of the package itself.

    Raises:
        PolicyError: it is not installed; says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise PolicyError(
            f"logger={module} needs {module}, which is not installed; {EXTRAS[module]}, or choose "
            "logger=none"
        ) from error


def _identity(file: Path) -> str:
    """Return the name that a run has with a server, kept in `file` so that it can be resumed."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(secrets.token_hex(8))
        temporary.replace(file)
    return file.read_text().strip()


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its name."""
    return (str(error).splitlines() or [type(error).__name__])[0]
