"""Checkpoints: equal after loading, atomic, free of pickle, clear when broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import tiny
import torch

from kinoise.policy import load_policy
from kinoise.policy.checkpoints.folder import find_checkpoint, link, read_meta, save_checkpoint
from kinoise.policy.diffusion_policy import DiffusionPolicy
from kinoise.policy.errors import PolicyError


def _save(
    path: Path, policy: DiffusionPolicy, network: str = "residual_mlp", step: int = 7
) -> Path:
    return save_checkpoint(
        path,
        config={"policy": tiny.node(network)},
        weights=policy.state_dict(),
        table=policy.table,
        step=step,
    )


@pytest.mark.parametrize("network", list(tiny.NETWORKS))
def test_a_loaded_policy_samples_the_same_chunks(network: str, tmp_path: Path) -> None:
    policy, obs = tiny.policy(network).eval(), tiny.batch(0, size=2)["obs"]
    loaded = load_policy(_save(tmp_path / "c", policy, network))

    def chunk(p: DiffusionPolicy) -> torch.Tensor:
        return p.sample(obs, [torch.Generator().manual_seed(i) for i in range(2)])

    assert torch.equal(chunk(policy), chunk(loaded))


def test_a_loaded_policy_is_in_evaluation_with_every_part_of_it(tmp_path: Path) -> None:
    loaded = load_policy(_save(tmp_path / "c", tiny.policy()))
    assert [name for name, module in loaded.named_modules() if module.training] == []


def test_running_a_checkpoint_imports_neither_diffusers_nor_hydra(tmp_path: Path) -> None:
    _save(tmp_path / "c", tiny.policy())
    program = """
        import sys, torch
        from kinoise.policy import load_policy
        policy = load_policy(sys.argv[1])
        policy.sample({"agent_pos": torch.zeros(1, 2, 2), "keypoint": torch.zeros(1, 2, 3, 2)})
        assert not {"diffusers", "hydra", "omegaconf"} & set(sys.modules), "heavy import"
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "c")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_another_sampler_can_be_chosen_at_loading(tmp_path: Path) -> None:
    path = _save(tmp_path / "c", tiny.policy())
    sampler = {"_target_": "kinoise.policy.sampling.Sampler", "solver": "dpmpp_2m", "n_steps": 9}
    assert load_policy(path, sampler=sampler).table.n_evaluations == 9


def test_a_run_folder_means_its_best_checkpoint_then_its_last(tmp_path: Path) -> None:
    policy = tiny.policy()
    old = _save(tmp_path / "checkpoints" / "step_1", policy, step=1)
    new = _save(tmp_path / "checkpoints" / "step_2", policy, step=2)
    link(new, "last")
    assert read_meta(tmp_path)["step"] == 2
    link(old, "best")
    assert read_meta(tmp_path)["step"] == 1
    assert read_meta(tmp_path / "checkpoints" / "last")["step"] == 2


def test_a_checkpoint_that_names_foreign_code_is_refused(tmp_path: Path) -> None:
    path = _save(tmp_path / "c", tiny.policy())
    config = path / "config.yaml"
    config.write_text(config.read_text().replace("kinoise.policy.paths.LinearFlow", "os.getcwd"))
    with pytest.raises(PolicyError, match="refusing to build 'os.getcwd'"):
        load_policy(path)


def test_wrong_paths_and_damage_are_named(tmp_path: Path) -> None:
    path = _save(tmp_path / "policy_a", tiny.policy())
    with pytest.raises(PolicyError, match="did you mean '.*policy_a'"):
        find_checkpoint(tmp_path / "polcy_a")
    with pytest.raises(PolicyError, match="holds no policy.safetensors"):
        find_checkpoint(tmp_path)
    weights = path / "policy.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(PolicyError, match="cannot read"):
        load_policy(path)


def test_a_checkpoint_of_another_network_is_named(tmp_path: Path) -> None:
    path = _save(tmp_path / "c", tiny.policy("dit"), "residual_mlp")
    with pytest.raises(PolicyError, match="does not fit its own configuration"):
        load_policy(path)


def test_a_killed_writer_leaves_the_old_checkpoint_readable(tmp_path: Path) -> None:
    """Processes that overwrite one checkpoint without end are killed at arbitrary moments."""
    program = """
        import sys
        sys.path.insert(0, sys.argv[2])
        import tiny
        from kinoise.policy.checkpoints.folder import save_checkpoint, link
        from pathlib import Path
        policy, step = tiny.policy(), 0
        while True:
            path = Path(sys.argv[1]) / "checkpoints" / f"step_{step}"
            save_checkpoint(path, config={"policy": tiny.node()}, weights=policy.state_dict(),
                            table=policy.table, step=step, metrics={"value": step})
            link(path, "last")
            step += 1
            print(step, flush=True)
    """
    here = str(Path(__file__).parents[1])
    for pause in (3, 11):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(tmp_path), here],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(pause):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        meta = read_meta(tmp_path)
        assert meta["metrics"]["value"] == meta["step"]
        load_policy(tmp_path)


def test_meta_says_step_format_and_versions(tmp_path: Path) -> None:
    meta = json.loads((_save(tmp_path / "c", tiny.policy()) / "meta.json").read_text())
    assert meta["step"] == 7
    assert meta["format"] == 1
    assert {"kinoise", "torch"} <= set(meta["versions"])
