"""The child process: started, asked, watched, and never left behind."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import EnvError
from . import child

START_FACTOR = 10
"""How much longer than a step the first answer may take: a simulator's imports are slow."""

Arrays = list[NDArray[Any]]


class SimulatorProcess:
    """One environment in a process of another Python, asked over a pipe.

    The process leads a group of its own: Ctrl-C in the terminal does not reach it, and what it
    starts ends with it. It ends by itself when the pipe closes.

    Args:
        python: the interpreter of the environment's own installation.
        timeout: seconds that an answer may take.

    Raises:
        EnvError: there is no such interpreter.
    """

    def __init__(self, python: str | Path, *, timeout: float) -> None:
        self.name = str(python)
        self._timeout = timeout
        try:
            self._process = subprocess.Popen(
                [str(python), str(Path(child.__file__).resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise EnvError(
                f"cannot start {str(python)!r} ({error.strerror}); env_python is the path of the "
                "Python that the simulator is installed in, such as /path/to/venv/bin/python"
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._questions = self._process.stdin
        self._answers = self._process.stdout
        self._said = Tail(self._process.stderr)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._answers, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, what: str, arrays: Arrays | None = None, **choices: Any) -> tuple[Any, Arrays]:
        """Ask something (a method of `child.Simulator`) and return the answer.

        Raises:
            EnvError: the simulator refused or failed, took too long, answered nonsense or died.
        """
        if self._answers.closed:
            raise EnvError(f"the simulator {self.name} is closed")
        patience = self._timeout * (START_FACTOR if what == "open" else 1)
        deadline = time.monotonic() + patience
        try:
            self._send(child.pack({"do": what, **choices}, arrays or []))
            answer, values = child.unpack(lambda size: self._read(size, deadline))
        except TimeoutError:
            raise self._ended(
                f"gave no answer to '{what}' for {patience:g} s; env_timeout=SECONDS allows more"
            ) from None
        except child.WireError as error:
            raise self._ended(f"sent {error}") from error
        except (EOFError, OSError):
            raise self._ended("died") from None
        except BaseException:  # an interrupt: the pipe holds half a message now
            self.kill()
            raise
        return self._checked(answer), values

    def close(self) -> None:
        """End the process, first by asking, and wait for it."""
        if self._answers.closed:
            return
        with suppress(EnvError):
            self._timeout = min(self._timeout, 5.0)
            self.ask("close")
        self.kill()

    def kill(self) -> None:
        """End the process and all that it started, at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._selector.close()
        self._questions.close()
        self._answers.close()
        self._said.close()

    def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._questions.fileno(), rest) :]

    def _read(self, size: int, deadline: float) -> bytes:
        """Return `size` bytes of the pipe."""
        parts = []
        while size:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            part = os.read(self._answers.fileno(), min(size, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _checked(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        if "refused" in answer:
            raise EnvError(f"{self.name}: {_line(answer['refused'])}")
        if "failed" in answer:
            raise EnvError(f"the simulator {self.name} failed: {_line(answer['failed'])}")
        return answer

    def _ended(self, what: str) -> EnvError:
        """End the process and return the error that says why, with its last words."""
        # A process whose pipe has closed is about to end by itself, and its code says how.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5 if what == "died" else 0.0)
        code = self._process.returncode
        self.kill()
        if what == "died" and code is not None:
            what = f"died ({_how(code)})"
        words = self._said.text()
        return EnvError(f"the simulator {self.name} {what}" + (f"; it said: {words}" * bool(words)))


class Tail:
    """Reads a pipe to its end, so that it never fills, and keeps the last words."""

    def __init__(self, pipe: Any, *, size: int = 2000) -> None:
        self._pipe = pipe
        self._kept: deque[int] = deque(maxlen=size)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self, n_lines: int = 3) -> str:
        """Return the last lines as one."""
        self._thread.join(timeout=1.0)
        text = bytes(self._kept).decode(errors="replace")
        lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        return " | ".join(lines[-n_lines:])[-400:]

    def close(self) -> None:
        """Wait for the rest; whoever holds the other end is gone."""
        self._thread.join(timeout=1.0)
        if not self._thread.is_alive():
            self._pipe.close()

    def _read(self) -> None:
        with suppress(OSError, ValueError):
            while part := os.read(self._pipe.fileno(), 1 << 16):
                self._kept.extend(part)


def _how(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _line(text: Any) -> str:
    return " ".join(str(text).split())[:400]
