"""Building from configuration: a closed registry of classes, and clear errors."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from kinoise.policy.build import FACES, MOVED, build
from kinoise.policy.errors import PolicyError
from kinoise.policy.paths import LinearFlow, VPCosine
from kinoise.policy.training.times import Beta


def test_a_node_becomes_its_object_and_plain_data_stay_data() -> None:
    tree = {"path": {"_target_": "kinoise.policy.paths.VPCosine", "offset": 0.1}, "n": [1, "a"]}
    assert build(tree) == {"path": VPCosine(0.1), "n": [1, "a"]}


def test_partial_gives_a_factory() -> None:
    factory = build({"_target_": "kinoise.policy.paths.VPCosine", "_partial_": True})
    assert factory(offset=0.2) == VPCosine(0.2)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "torch.load",
        "kinoise.policyx.paths.LinearFlow",
        "kinoise.policy.build._call",
        "kinoise.policy.build.build",
        "kinoise.policy.build.importlib.import_module",
        "kinoise.policy.checkpoints.folder.save_checkpoint",
        "kinoise.policy.load_policy",
        "kinoise.policy.paths.PATHS",
        "kinoise.policy.paths.shifted",
        "kinoise.policy.paths.Path",
        "kinoise.policy.paths.path.torch.load",
        "kinoise.policy.training.weights.Tensor",
        "kinoise.policy.training.couplings._theory",
        "kinoise.envs.make_env",
        "",
        ".",
        "paths.LinearFlow",
    ],
)
@pytest.mark.parametrize("partial", [False, True])
def test_nothing_but_the_classes_of_a_slot_is_built(target: str, partial: bool) -> None:
    with pytest.raises(PolicyError, match="refusing to build|no class in"):
        build({"_target_": target, "_partial_": partial, "command": "true"})


def test_every_face_has_classes_and_every_moved_name_leads_to_one() -> None:
    for face, bases in FACES.items():
        module = importlib.import_module(f"kinoise.policy.{face}".rstrip("."))
        assert all(isinstance(getattr(module, base), type) for base in bases)
    for new in MOVED.values():
        assert new in FACES or new.rpartition(".")[0] in FACES


def test_a_name_of_a_past_version_is_translated_and_its_arguments_with_it() -> None:
    old = {"_target_": "kinoise.policy.times.Power", "exponent": 2.0}
    assert build(old) == Beta(2.0)


def test_a_class_of_ones_own_may_stand_in_a_slot_where_its_package_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_paths.py").write_text(
        "from kinoise.policy.paths import LinearFlow\n"
        "class Mine(LinearFlow): pass\n"
        "class Other: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    assert isinstance(build({"_target_": "my_paths.Mine"}, allow=["my_paths"]), LinearFlow)
    with pytest.raises(PolicyError, match="refusing to build"):
        build({"_target_": "my_paths.Mine"})
    with pytest.raises(PolicyError, match="no subclass"):
        build({"_target_": "my_paths.Other"}, allow=["my_paths"])
    with pytest.raises(PolicyError, match="no subclass"):
        build({"_target_": "os.system", "command": "true"}, allow=["os"])
    with pytest.raises(PolicyError, match="nothing to build"):
        build({"_target_": "my_paths.Absent"}, allow=["my_paths"])


def test_wrong_arguments_and_absent_classes_are_named() -> None:
    with pytest.raises(PolicyError, match="offst"):
        build({"_target_": "kinoise.policy.paths.VPCosine", "offst": 1})
    with pytest.raises(PolicyError, match="did you mean 'VPCosine'"):
        build({"_target_": "kinoise.policy.paths.VPCosin"})
