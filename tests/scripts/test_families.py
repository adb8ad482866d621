"""Every named family composes, trains and samples; its page says what the registry says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from kinoise.policy.build import build
from kinoise.scripts import assembly
from kinoise.scripts.command import catalogue
from kinoise.scripts.command.composing import compose
from kinoise.scripts.reporting.methods_page import SLOTS, families, page, read_figures

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = {family.name: family for family in families()}
#: The curricula's methods, which must all have a name here.
CURRICULA = {
    "hierarchical_vae",
    "ddpm",
    "vdm",
    "ncsn",
    "score_sde_vp",
    "score_sde_ve",
    "score_sde_sub_vp",
    "pf_ode_vp",
    "pf_ode_ve",
    "pf_ode_sub_vp",
    "ddim",
    "flow_matching",
    "ot_cfm",
    "reflow",
    "stochastic_interpolant",
    "edm",
    "classifier_free",
    "dpm_solver",
    "unipc",
    "deis",
    "dit",
    "unet",
}


def test_the_families_of_the_curricula_are_all_there() -> None:
    assert set(FAMILIES) >= CURRICULA


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_trains_and_samples(name: str) -> None:
    node = assembly.plain(compose("train", [f"family={name}"]).policy)
    if name == "reflow":
        node["coupling"] = None  # its teacher is a checkpoint: tests/policy/test_couplings.py
    torch.manual_seed(0)
    policy = build({**node, "obs_shapes": {"state": [5]}, "action_dim": 2})
    obs = {"state": torch.randn(8, 2, 5)}
    loss = policy.compute_loss({"obs": obs, "action": torch.rand(8, 16, 2) * 2 - 1})
    loss.backward()
    assert torch.isfinite(loss)
    chunk = policy.eval().sample(obs)
    assert chunk.shape == (8, 16, 2)
    assert torch.isfinite(chunk).all()
    assert (chunk.abs() <= 1.0 + 1e-6).all()


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys())
def test_a_familys_oracle_is_a_test_that_exists(family: object) -> None:
    file, _, function = family.oracle.partition("::")
    text = (ROOT / file).read_text()
    assert not function or re.search(rf"^def {function}\(", text, re.MULTILINE)


def test_a_family_may_be_combined_with_other_choices() -> None:
    cfg = compose("train", ["family=ddpm", "sampler=ddim", "network=dit"])
    assert cfg.policy.sampler.solver == "ddim"
    assert cfg.policy.path._target_.endswith("VPLinear")
    assert cfg.policy.network._target_.endswith("DiT")


#: Families of one training, which differ in how they sample alone.
ONE_TRAINING = (
    {"ddpm", "ddim", "dpm_solver", "deis", "unipc", "score_sde_vp", "pf_ode_vp"},
    {"ncsn", "score_sde_ve", "pf_ode_ve"},
    {"score_sde_sub_vp", "pf_ode_sub_vp"},
)


@pytest.mark.parametrize("names", ONE_TRAINING, ids=sorted)
def test_families_of_one_training_differ_in_their_sampler_alone(names: set[str]) -> None:
    trained = [assembly.plain(compose("train", [f"family={name}"]).policy) for name in names]
    for node in trained:
        del node["sampler"]
    assert all(node == trained[0] for node in trained)


def test_help_knows_the_grid_that_a_family_chooses() -> None:
    assert catalogue.slots("family/ddpm")["grid@policy.sampler.grid"] == "log_snr"


def test_the_page_names_every_slot_and_family() -> None:
    text = page()
    assert all(f"### {slot}\n" in text for slot in SLOTS)
    assert all(f"`kinoise train family={name}`" in text for name in FAMILIES)


def test_the_committed_page_is_the_generated_one() -> None:
    figures = read_figures(ROOT / "benchmarks" / "results" / "families.json")
    assert (ROOT / "docs" / "methods.md").read_text() == page(figures), (
        "write it again: kinoise methods out=docs/methods.md "
        "figures=benchmarks/results/families.json"
    )
