"""How an environment of others is reached, and what is expected of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium

from ..bridge import BridgeEnv, child
from ..errors import EnvError

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Connection:
    """Everything about an environment of others that is not an argument of its own.

    Attributes:
        setup: functions to call before it can be made, `module:function`, separated by commas.
        python: interpreter of another installation, to run it there; None runs it in this one.
        timeout: seconds that a step may take there.
        success: what counts as success, see `success.read_rule`; None for "info".
        max_steps: ends an episode; None for the environment's own limit.
        rename: the environment's name of an observation -> ours.
        bounds: "clip" brings actions within the limits and counts it; "refuse" raises.
        observes: key -> shape `[...]` that a policy expects; None takes what there is.
        action_dim: Da that a policy has; None takes any.
    """

    setup: str | None = None
    python: str | None = None
    timeout: float = 60.0
    success: str | None = None
    max_steps: int | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    bounds: str = "clip"
    observes: Shapes | None = None
    action_dim: int | None = None


def open_foreign(
    address: str, connection: Connection, kwargs: Mapping[str, Any]
) -> gymnasium.Env[Any, Any]:
    """Make an environment as its authors wrote it, here or in a process of another Python.

    Args:
        address: see `bridge.child.open_env`.
        connection: see there.
        kwargs: arguments of the environment.

    Raises:
        EnvError: it cannot be made.
    """
    where: dict[str, Any] = {"setup": connection.setup, "max_steps": connection.max_steps}
    if connection.python is not None:
        timeout = connection.timeout
        return BridgeEnv(connection.python, address, kwargs, timeout=timeout, **where)
    try:
        env: gymnasium.Env[Any, Any] = child.open_env(address, kwargs, **where)
    except child.RefusedError as error:
        raise EnvError(str(error)) from error
    return env
