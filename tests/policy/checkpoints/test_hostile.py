"""Folders made to harm: none of them runs anything, and each is refused in one line, at once."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import yaml
from safetensors.torch import load_file, save_file

from kinoise.policy import PolicyError, load_policy
from kinoise.policy.checkpoints import read_meta, save_checkpoint

Spoil = Callable[[Path], None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound checkpoint, to be copied and spoilt."""
    policy = tiny.policy().eval()
    return save_checkpoint(
        tmp_path_factory.mktemp("sound") / "checkpoint",
        config={"policy": tiny.node(), "task": {"name": "none", "obs_keys": ["agent_pos"]}},
        weights=policy.state_dict(),
        table=policy.table,
    )


def config(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Return what changes the policy's node in config.yaml."""

    def spoil(folder: Path) -> None:
        tree = yaml.safe_load((folder / "config.yaml").read_text())
        change(tree["policy"])
        (folder / "config.yaml").write_text(yaml.safe_dump(tree))

    return spoil


def target(name: str, where: str = "path", /, **arguments: Any) -> Spoil:
    """Return what puts a target into one of the policy's slots."""
    return config(lambda policy: policy.update({where: {"_target_": name, **arguments}}))


def text(name: str, content: str | bytes) -> Spoil:
    """Return what writes another file in the place of one."""

    def spoil(folder: Path) -> None:
        raw = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(raw)

    return spoil


def tensors(name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> Spoil:
    """Return what changes the tensors of a file."""

    def spoil(folder: Path) -> None:
        found = load_file(folder / name)
        change(found)
        save_file({key: value.contiguous() for key, value in found.items()}, folder / name)

    return spoil


def table(**parts: torch.Tensor) -> Spoil:
    """Return what changes parts of the sampler's table."""
    return tensors("table.safetensors", lambda found: found.update(parts))


CANARY = "touch canary"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
#: What to name where a class is expected; with arguments that would do harm.
CODE: dict[str, dict[str, Any]] = {
    "os.system": {"command": CANARY},
    "posix.system": {"command": CANARY},
    "subprocess.run": {"args": ["touch", "canary"]},
    "subprocess.Popen": {"args": ["touch", "canary"]},
    "builtins.exec": {"source": f"import os; os.system('{CANARY}')"},
    "builtins.eval": {"source": f"__import__('os').system('{CANARY}')"},
    "builtins.open": {"file": "canary", "mode": "w"},
    "pathlib.Path.touch": {"self": "canary"},
    "runpy.run_path": {"path_name": "evil.py"},
    "importlib.import_module": {"name": "evil"},
    "torch.load": {"f": "evil.pt", "weights_only": False},
    "torch.hub.load": {"repo_or_dir": ".", "model": "evil", "source": "local"},
    "pickle.loads": {"data": "x"},
    "shutil.rmtree": {"path": "."},
    "hydra.utils.instantiate": {"config": {"_target_": "os.system", "command": CANARY}},
    "kinoise.policy.build._call": {
        "target": "os.system",
        "partial": False,
        "allow": ["os"],
        "arguments": {"command": CANARY},
    },
    "kinoise.policy.build.build": {"node": {"_target_": "os.system"}, "allow": ["os"]},
    "kinoise.policy.build.importlib.import_module": {"name": "evil"},
    "kinoise.policy.checkpoints.folder.save_checkpoint": {"path": ".", "config": {}},
    "kinoise.policy.checkpoints.folder.shutil.rmtree": {"path": "."},
    "kinoise.policy.load_policy": {"path": ".", "allow": ["os"]},
    "kinoise.policy.training.couplings.import_module": {"name": "evil"},
    "kinoise.policy.training.couplings._theory": {"module": "evil"},
    "kinoise.policy.couplings._theory": {"module": "evil"},
    "kinoise.envs.make_env": {"env_id": "evil:Evil-v0"},
    "kinoise.scripts.cli.main": {"argv": ["train"]},
    "evil.Evil": {},
    "..os.system": {},
    "kinoise.policy.paths.__builtins__": {},
    "kinoise.policy.paths.Path": {},
}
PATH = "kinoise.policy.paths"

HOSTILE: dict[str, Spoil] = {
    **{f"path {name}": target(name, **arguments) for name, arguments in CODE.items()},
    **{
        f"{slot} os.system": target("os.system", slot, command=CANARY)
        for slot in ("encoder", "network", "objective", "coupling", "normalization")
    },
    "partial network": target("os.system", "network", _partial_=True, command=CANARY),
    "guidance": config(lambda p: p.update(guidance=[{"_target_": "os.system", "command": CANARY}])),
    "nested": target(f"{PATH}.VPCosine", offset={"_target_": "os.system", "command": CANARY}),
    "in a list": target(f"{PATH}.VPCosine", offset=[[{"_target_": "os.system", "c": CANARY}]]),
    "the policy itself": config(lambda p: p.update({"_target_": "os.system", "command": CANARY})),
    "a path for a policy": config(lambda p: (p.clear(), p.update({"_target_": f"{PATH}.EDM"}))),
    "target that is a list": config(lambda p: p["path"].update({"_target_": ["os", "system"]})),
    "no policy": text("config.yaml", "task: {}\n"),
    "policy is text": text("config.yaml", "policy: os.system\n"),
    "python tag": text("config.yaml", f"policy: !!python/object/apply:os.system ['{CANARY}']\n"),
    "python name": text("config.yaml", "policy: !!python/name:os.system\n"),
    "alias bomb": text("config.yaml", BOMB + "policy: *a11\n"),
    "endless alias": text("config.yaml", "policy: &a {path: *a}\n"),
    "deep nesting": text("config.yaml", "policy: " + "[" * 5000 + "]" * 5000),
    "resolver": config(lambda p: p.update(horizon="${oc.env:SECRET}")),
    "broken yaml": text("config.yaml", "policy: {unclosed"),
    "empty yaml": text("config.yaml", ""),
    "binary yaml": text("config.yaml", b"\xff\xfe\x00\x01"),
    "huge yaml": text("config.yaml", "policy: {}\n" + "# padding\n" * 200_000),
    "numbers as keys": text("config.yaml", "policy: {1: 2}\n"),
    "huge width": config(lambda p: p["network"].update(width=10**9)),
    "large width": config(lambda p: p["network"].update(width=60_000)),
    "huge depth": config(lambda p: p["network"].update(depth=10**9)),
    "large depth": config(lambda p: p["network"].update(depth=99_999)),
    "huge horizon": config(lambda p: p.update(horizon=10**12)),
    "huge action": config(lambda p: p.update(action_dim=10**9)),
    "huge observation": config(lambda p: p.update(obs_shapes={"agent_pos": [90_000, 90_000]})),
    "negative horizon": config(lambda p: p.update(horizon=-4)),
    "text for a number": config(lambda p: p.update(horizon="8; rm -rf .")),
    "absent argument": config(lambda p: p.pop("horizon")),
    "unknown argument": config(lambda p: p.update(allow=["os"])),
    "huge learned path": target(f"{PATH}.LearnedGamma", width=90_000),
    "broken json": text("meta.json", "{"),
    "meta is a list": text("meta.json", "[]"),
    "broken weights": text("policy.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}garbage"),
    "empty weights": text("policy.safetensors", b""),
    "a header beyond its file": text("policy.safetensors", b"\xff" * 8 + b"{}"),
    "pickled weights": text("policy.safetensors", b"\x80\x04cos\nsystem\n(S'touch canary'\ntR."),
    "weights of another shape": tensors(
        "policy.safetensors", lambda t: t.update({"normalizer.centre:action": torch.zeros(99)})
    ),
    "missing weights": tensors("policy.safetensors", lambda t: t.popitem()),
    "weights too many": tensors("policy.safetensors", lambda t: t.update(extra=torch.zeros(2))),
    "weights not finite": tensors(
        "policy.safetensors", lambda t: next(iter(t.values())).fill_(torch.nan)
    ),
    "no table": lambda folder: (folder / "table.safetensors").unlink(),
    "table of other tensors": tensors("table.safetensors", lambda t: t.update(x=torch.ones(3))),
    "table without times": tensors("table.safetensors", lambda t: t.pop("t")),
    "table that looks ahead": table(estimate=torch.ones(5, 4)),
    "table of another size": table(init=torch.ones(9)),
    "table not finite": table(init=torch.full((5,), torch.nan)),
    "table of whole numbers": table(init=torch.ones(5, dtype=torch.int64)),
    "table of endless length": table(t=torch.linspace(1, 0.001, 1_000_000)),
    "table of endless noise": table(noise=torch.zeros(5, 500_000)),
    "times beyond the end": table(t=torch.tensor([9.0, 0.7, 0.5, 0.2])),
    "table of tokens": table(
        t=torch.rand(4, 99),
        init=torch.rand(5, 99),
        estimate=torch.zeros(5, 4, 99),
        noise=torch.zeros(5, 0, 99),
    ),
    "a folder for a file": lambda folder: (
        (folder / "config.yaml").unlink(),
        (folder / "config.yaml").mkdir(),
    )[0],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_is_refused_in_one_line_and_runs_nothing(
    name: str, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(sound, folder)
    (tmp_path / "evil.py").write_text("open('canary', 'w').close()\nclass Evil: pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    HOSTILE[name](folder)
    before = sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts)

    with pytest.raises(PolicyError) as refusal:
        _read(folder)

    assert len(str(refusal.value)) < 600
    assert not (tmp_path / "canary").exists()
    assert "evil" not in sys.modules
    after = sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts)
    assert after == before


def _read(folder: Path) -> None:
    """Read all of a checkpoint, as an evaluation does."""
    load_policy(folder)
    read_meta(folder)


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 60


def test_the_sound_folder_loads(sound: Path) -> None:
    assert load_policy(sound).horizon == 8


def test_all_of_them_take_little_time_and_memory(sound: Path, tmp_path: Path) -> None:
    """In a process of its own, whose processor time and memory are limited by the system."""
    program = f"""
        import resource, shutil, sys, time
        from pathlib import Path
        sys.path.insert(0, {str(Path(tiny.__file__).parent)!r})
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_hostile import HOSTILE, PolicyError, load_policy, _read
        sound, place = map(Path, sys.argv[1:])
        load_policy(sound)
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start = peak()
        for number, (name, spoil) in enumerate(HOSTILE.items()):
            folder = place / str(number)
            shutil.copytree(sound, folder)
            spoil(folder)
            began = time.process_time()
            try:
                _read(folder)
            except PolicyError:
                pass
            seconds = time.process_time() - began
            assert seconds < 2, (name, seconds)
            assert peak() - start < 500, (name, peak() - start)
            shutil.rmtree(folder)
        print("all refused")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(sound), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (200, 200)),
    )
    assert done.stdout.strip() == "all refused", done.stderr[-2000:]


@pytest.mark.parametrize("holds", ["", "other.txt", "policy.safetensors"])
def test_a_folder_that_is_no_checkpoint_is_never_replaced(tmp_path: Path, holds: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    if holds:
        (victim / holds).write_text("precious")
    policy = tiny.policy()

    with pytest.raises(PolicyError, match="no checkpoint"):
        save_checkpoint(victim, config={}, weights=policy.state_dict(), table=policy.table)

    assert [path.name for path in victim.iterdir()] == ([holds] if holds else [])
