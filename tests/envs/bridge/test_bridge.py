"""Environments in another Python's process: the same episodes, and one line when it goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kinoise.envs import Connection, make_env
from kinoise.envs.bridge import BridgeEnv
from kinoise.envs.errors import EnvError
from kinoise.envs.rollouts import EpisodeResult, Recording, rollout

ARM = "factory:simulators:arm"
LINE = Connection(python=sys.executable, success="terminated", max_steps=20)


def wander(observations: Any, seeds: Any, steps: Any) -> NDArray[Any]:
    """Act by what is seen, out of bounds now and then."""
    rows = [np.tanh(each["arm.position"]) - 0.1 * each["arm.grip"] for each in observations]
    return np.array(rows)


def run(env_id: str = ARM, connection: Connection = LINE, **options: Any) -> list[EpisodeResult]:
    make = partial(make_env, env_id, connection=connection)
    record = Recording(trajectories=True)
    return rollout(make, lambda: wander, [3, 4, 5], n_envs=1, record=record, **options)


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_until(condition: Callable[[], bool]) -> bool:
    for _ in range(1200):
        if condition():
            return True
        time.sleep(0.05)
    return False


def step(env: BridgeEnv, n_steps: int = 1) -> Any:
    for _ in range(n_steps):
        result = env.step(np.zeros(2))
    return result


def start_and_step(env: BridgeEnv) -> None:
    env.reset(seed=0)
    step(env, 5)


def opened(address: str = ARM, timeout: float = 60.0, **kwargs: Any) -> BridgeEnv:
    return BridgeEnv(sys.executable, address, kwargs, timeout=timeout)


def test_an_episode_is_the_same_bit_for_bit_on_both_sides() -> None:
    here = run(connection=Connection(success="terminated", max_steps=20))
    there = run()
    assert len({each.length for each in here}) > 1 or here[0].length == 20
    for one, other in zip(here, there, strict=True):
        assert one.obs is not None
        assert other.obs is not None
        assert sorted(one.obs) == ["arm.grip", "arm.position", "camera", "lamps"]
        for key in one.obs:
            assert one.obs[key].dtype == other.obs[key].dtype
            assert one.obs[key].tobytes() == other.obs[key].tobytes()
        assert (one.success, one.score, one.length) == (other.success, other.score, other.length)
        assert one.return_ == other.return_
        assert one.clipped == other.clipped > 0


def test_spaces_pictures_and_rate_are_the_same_on_both_sides() -> None:
    here = make_env(ARM, connection=Connection(), render_mode="rgb_array")
    there = make_env(ARM, connection=Connection(python=sys.executable), render_mode="rgb_array")
    with closing(here), closing(there):
        assert there.observation_space == here.observation_space
        assert there.action_space == here.action_space
        assert there.metadata["render_fps"] == here.metadata["render_fps"] == 25
        for env in (here, there):
            env.reset(seed=0)
        assert there.render().tobytes() == here.render().tobytes()


def test_what_has_to_be_called_before_is_called_on_either_side() -> None:
    for python in (None, sys.executable):
        connection = Connection(setup="simulators:register", python=python, success="terminated")
        results = run("gym:strange/Arm-v0", connection)
        assert all(each.length <= 7 for each in results)


@pytest.mark.parametrize("python", [None, sys.executable], ids=["here", "there"])
@pytest.mark.parametrize(
    ("address", "kwargs", "setup", "message"),
    [
        ("factory:simulators:amr", {}, None, "did you mean 'arm'"),
        ("factory:simulatorz:arm", {}, None, "cannot import 'simulatorz'"),
        ("factory:simulators", {}, None, "module:function"),
        ("factory:simulators:picky", {"siez": 3}, None, "did you mean 'size'"),
        ("gym:Pendulm-v1", {}, None, "did you mean 'Pendulum-v1'"),
        ("gym:Pendulum-v1", {"gravitas": 3}, None, "gravitas"),
        ("gym:strange/Arm-v0", {}, None, "import what registers it"),
        (ARM, {}, "simulators:regist", "did you mean 'register'"),
    ],
)
def test_an_environment_that_cannot_be_made_is_named_in_one_line(
    python: str | None, address: str, kwargs: Any, setup: str | None, message: str
) -> None:
    with pytest.raises(EnvError, match=message) as error:
        make_env(address, connection=Connection(python=python, setup=setup), **kwargs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        ("reset", "failed: RuntimeError: the motor is stuck"),
        ("raise", "failed: ValueError: a fault of two lines"),
        ("exit", "failed: SystemExit: enough"),
        ("kill", "killed by SIGKILL"),
        ("os._exit", r"exit code 3.*no licence"),
    ],
)
def test_a_simulator_that_fails_or_dies_is_one_line(fails: str, message: str) -> None:
    env = opened(fails=fails)
    with closing(env), pytest.raises(EnvError, match=message) as error:
        start_and_step(env)
    assert "\n" not in str(error.value)
    assert not is_alive(env.process.pid)


def test_a_hanging_simulator_is_given_up_and_ended() -> None:
    env = opened(fails="hang", timeout=0.5)
    with pytest.raises(EnvError, match=r"no answer to 'step' for 0.5 s; env_timeout="):
        start_and_step(env)
    assert not is_alive(env.process.pid)
    with pytest.raises(EnvError, match="is closed"):
        step(env)


@pytest.mark.parametrize("place", ["before reset", "before step", "before render", "before close"])
def test_a_killed_process_is_one_line_wherever_it_is_killed(place: str) -> None:
    env = opened()
    actions = {
        "before reset": lambda: env.reset(seed=0),
        "before step": lambda: step(env),
        "before render": env.render,
    }
    env.reset(seed=0)
    os.kill(env.process.pid, signal.SIGKILL)
    if place == "before close":
        env.close()
    else:
        with pytest.raises(EnvError, match="died"):
            actions[place]()
    assert not is_alive(env.process.pid)
    env.close()


def test_prints_never_corrupt_the_answers() -> None:
    env = opened(fails="garbage")  # writes to the standard output's descriptor itself
    with closing(env):
        env.reset(seed=0)
        assert step(env, 5)[0]["camera"][0, 0, 0] == 5


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo welcome to the cluster; sleep 100", r"not a message: b'welcome"),
        (r"printf 'KNB1\377\377\377\377'; sleep 100", "a header of 4294967295 bytes"),
        (r"printf 'KNB1\002\000\000\000{]'; sleep 100", "not JSON"),
        (r"printf 'KNB1\012\000'; sleep 100", "no answer to 'open'"),
        (r"""printf 'KNB1\015\000\000\000{"arrays":[]}'; sleep 100""", "does not describe itself"),
        ("echo no module named numpy >&2; exit 1", r"exit code 1.*no module named numpy"),
        ("exec 1>&-; sleep 100", "died"),
        ("yes", "not a message"),
    ],
)
def test_a_program_that_is_no_simulator_is_one_line(
    python_that: Callable[[str], str], script: str, message: str
) -> None:
    with pytest.raises(EnvError, match=message) as error:
        BridgeEnv(python_that(script), ARM, {}, timeout=0.1)
    assert "\n" not in str(error.value)


def test_a_python_that_is_not_there_is_named() -> None:
    with pytest.raises(EnvError, match="cannot start 'nowhere/python'.*env_python"):
        BridgeEnv("nowhere/python", ARM, {})


def test_what_the_simulator_started_ends_with_it(tmp_path: Path) -> None:
    env = opened("factory:simulators:parent_of_many", pids=str(tmp_path / "pids"))
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert all(map(is_alive, pids))
    env.close()
    assert wait_until(lambda: not any(map(is_alive, pids)))


PARENT = """
import sys, numpy as np
from kinoise.envs.bridge import BridgeEnv
env = BridgeEnv(sys.executable, "factory:simulators:arm", {"fails": sys.argv[1]})
env.reset(seed=0)
print(env.process.pid, flush=True)
for _ in range(10**9):
    env.step(np.zeros(2))
"""


@pytest.mark.parametrize(
    ("fails", "sent"), [("", signal.SIGKILL), ("hang", signal.SIGKILL), ("hang", signal.SIGINT)]
)
def test_the_simulator_ends_with_the_process_that_asks(fails: str, sent: signal.Signals) -> None:
    words = [sys.executable, "-c", PARENT, fails]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        time.sleep(0.1)
        parent.send_signal(sent)
        parent.wait(120)
        assert wait_until(lambda: not is_alive(pid))


@pytest.mark.slow
def test_workers_have_simulators_of_their_own_and_the_same_results() -> None:
    make = partial(make_env, ARM, connection=LINE)
    alone = rollout(make, Wanderer, [3, 4, 5], n_envs=1)
    shared = rollout(make, Wanderer, [3, 4, 5], n_envs=1, n_workers=2)
    assert shared == alone


class Wanderer:
    """`wander`, as a class that crosses to worker processes."""

    def __call__(self, observations: Any, seeds: Any, steps: Any) -> NDArray[Any]:
        return wander(observations, seeds, steps)
