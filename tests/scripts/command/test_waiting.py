"""Waiting threads sleep, unless the user says otherwise, and before torch can read it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kinoise.scripts.command.waiting import ASLEEP, wait_asleep


def test_what_the_user_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    wait_asleep()
    assert "GOMP_SPINCOUNT" not in os.environ

    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    wait_asleep()
    assert os.environ["GOMP_SPINCOUNT"] == "7"


def test_the_command_sets_it_before_torch_is_imported() -> None:
    program = (
        "import os, sys\n"
        "from kinoise.scripts.command.cli import main\n"
        "assert 'torch' not in sys.modules\n"
        "main(['--version'])\n"
        "print('spins', os.environ['GOMP_SPINCOUNT'])\n"
    )
    unset = (*ASLEEP, "OMP_WAIT_POLICY")
    clean = {key: value for key, value in os.environ.items() if key not in unset}
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean, capture_output=True, text=True, check=True
    )
    assert "spins 3000" in done.stdout
