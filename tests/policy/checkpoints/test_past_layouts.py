"""Checkpoints written by past versions load, and give the chunks that they gave then.

`fixtures/layout_1` was written by commit f17dddf, `fixtures/layout_2` by commit 58ee9b5. Each
folder holds, beside the checkpoint, observations and the chunk of that version in
`expected.safetensors`, whose metadata name the processor's instructions: other ones round
otherwise.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from kinoise.policy import load_policy

FIXTURES = Path(__file__).parent / "fixtures"
CHECKPOINTS = sorted(folder.parent for folder in FIXTURES.rglob("meta.json"))


@pytest.mark.parametrize("folder", CHECKPOINTS, ids=lambda f: f"{f.parent.name}-{f.name}")
def test_a_checkpoint_of_a_past_version_gives_its_chunk_again(folder: Path) -> None:
    with safe_open(folder / "expected.safetensors", "pt") as file:
        written = file.metadata()
        expected = file.get_tensor("chunk")
        obs = {
            key.removeprefix("obs."): file.get_tensor(key)
            for key in file.keys()  # noqa: SIM118 (not a mapping)
            if key.startswith("obs.")
        }

    # They were written by one thread; more of them add in another order.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    chunk = load_policy(folder).sample(obs, torch.Generator().manual_seed(3))
    torch.set_num_threads(threads)

    same_machine = written["cpu"] == torch.backends.cpu.get_cpu_capability()
    if same_machine and written["torch"] == torch.__version__:
        assert torch.equal(chunk, expected)
    else:
        torch.testing.assert_close(chunk, expected, rtol=1e-4, atol=1e-4)
