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
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert os.environ["GOMP_SPINCOUNT"] == ASLEEP["GOMP_SPINCOUNT"]


def test_the_command_sets_it_before_torch_is_imported() -> None:
    program = (
        "import os, sys\n"
        "from kinoise.scripts.command.cli import main\n"
        "assert 'torch' not in sys.modules\n"
        "main(['--version'])\n"
        "print('waits', os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'])\n"
    )
    clean = {key: value for key, value in os.environ.items() if key not in ASLEEP}
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean, capture_output=True, text=True, check=True
    )
    assert "waits PASSIVE 0" in done.stdout
