"""Spread episodes over spawned worker processes."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from gymnasium import Env

from ..errors import EnvError
from .control_loop import Actor, ControlLoop, Perturbation
from .episodes import EpisodeResult, Recording


@dataclass(frozen=True)
class Job:
    """How episodes are run; crosses to worker processes. See `rollout` for the attributes."""

    make_env: Callable[[], Env[Any, Any]]
    make_actor: Callable[[], Actor]
    n_envs: int
    record: Recording
    max_steps: int | None
    perturb: Perturbation | None


_Message = EpisodeResult | Exception | None
"""What a worker sends: a result, the error it ended with, or None when it is done."""


def run_job(job: Job, seeds: Sequence[int]) -> Iterator[EpisodeResult]:
    """Yield the results of one process's share of the episodes."""
    actor = job.make_actor()
    with ExitStack() as stack:
        envs = [
            stack.enter_context(closing(job.make_env())) for _ in range(min(job.n_envs, len(seeds)))
        ]
        loop = ControlLoop(
            envs, actor, record=job.record, max_steps=job.max_steps, perturb=job.perturb
        )
        yield from loop.run(seeds)


def run_in_workers(job: Job, seeds: Sequence[int], n_workers: int) -> Iterator[EpisodeResult]:
    """Yield the results of `n_workers` processes as they come; all end with this generator.

    Processes are spawned, not forked: a fork would copy the OpenGL context and torch's threads.

    Raises:
        EnvError: a job that cannot be pickled, or a worker that was killed. Whatever an environment
            or actor raises passes on.
    """
    packed = _pickled(job)
    shares = [list(seeds[index::n_workers]) for index in range(min(n_workers, len(seeds)))]
    workers: dict[Connection, BaseProcess] = {}
    try:
        for share in shares:
            receiver, process = _start(packed, share)
            workers[receiver] = process
        while workers:
            ready = set(wait(list(workers)))
            for receiver in [one for one in workers if one in ready]:
                message = _receive(receiver, workers[receiver])
                if message is None:
                    workers.pop(receiver).join()
                    receiver.close()
                else:
                    yield message
    finally:
        for receiver, process in workers.items():
            process.terminate()
            process.join()
            receiver.close()


def _pickled(job: Job) -> bytes:
    try:
        return pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise EnvError(
            f"worker processes need picklable factories ({error}); use functions or classes of a "
            "module, or n_workers=0"
        ) from error


def _start(job: bytes, seeds: list[int]) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, seeds, sender), daemon=True)
    process.start()
    # Only the worker keeps the sending end, so that its death is seen as the end of the pipe.
    sender.close()
    return receiver, process


def _receive(receiver: Connection, process: BaseProcess) -> EpisodeResult | None:
    try:
        message: _Message = receiver.recv()
    except EOFError:
        process.join()
        raise EnvError(
            f"a rollout worker died (exit code {process.exitcode}); was memory short? "
            "Try fewer workers or environments"
        ) from None
    if isinstance(message, Exception):
        raise message
    return message


def _work(job: bytes, seeds: list[int], sender: Connection) -> None:
    """Run the episodes of one share; the main function of a worker."""
    # Ctrl-C reaches every process of the terminal; the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for result in run_job(pickle.loads(job), seeds):
            sender.send(result)
        sender.send(None)
    except Exception as error:
        sender.send(_sendable(error))


def _sendable(error: Exception) -> Exception:
    """Return the error with the worker's traceback as a note, or a stand-in if it can't travel."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
