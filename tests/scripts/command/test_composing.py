"""Composing a verb's config, and the one line that answers each kind of mistake."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from kinoise.scripts.command import catalogue
from kinoise.scripts.command.composing import complete, compose, quote, to_yaml
from kinoise.scripts.command.errors import UsageError
from kinoise.scripts.command.verbs import VERBS

FILES = {
    "train.yaml": """\
# Train a policy.
defaults:
  - task: pick_place
  - policy: diffusion
  - network: mlp
  - _self_
  - experiment: null

seed: 0 # of everything
run: runs/${task.name}
data: ???
trainer:
  n_steps: 10
  betas: [0.9, 0.99]
""",
    "policy/diffusion.yaml": "# A policy.\ndefaults:\n  - /network@inner: mlp\n\nhorizon: 16\n",
    "task/pick_place.yaml": "# Put the cube on the goal.\nname: pick_place\nrate_hz: 20\n",
    "task/pusht.yaml": "# Push the T.\nname: pusht\nrate_hz: 10\n",
    "network/mlp.yaml": "# Residual MLP.\nwidth: 256\n",
    "network/dit.yaml": "# DiT (Peebles & Xie 2023).\nwidth: 128\nheads: 4\n",
    "experiment/human.yaml": """\
# @package _global_
# The human demonstrations.
defaults:
  - override /task: pusht
  - override /network: dit
seed: 7
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of configs with slots, a nested choice and an experiment."""
    root = tmp_path_factory.mktemp("configs")
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return root


def test_a_plus_adds_and_two_add_or_change_as_in_hydra(folder: Path) -> None:
    assert compose("train", ["+new=3"], folder=folder).new == 3
    assert compose("train", ["++seed=3"], folder=folder).seed == 3
    with pytest.raises(UsageError, match="'seed' is there already; change it by seed="):
        compose("train", ["+seed=3"], folder=folder)


def test_a_folder_of_the_users_own_adds_options(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "mine.yaml").write_text("# Mine.\nname: mine\nrate_hz: 5\n")
    config = compose("train", ["task=mine"], folder=folder, extra=[tmp_path])
    assert config.task.rate_hz == 5
    searched = f"hydra.searchpath=[file://{tmp_path}]"
    assert compose("train", ["task=mine", searched], folder=folder).task.rate_hz == 5
    with pytest.raises(UsageError, match=r"did you mean 'mine'\? choices: .*pusht.*mine"):
        compose("train", ["task=min"], folder=folder, extra=[tmp_path])
    with pytest.raises(UsageError, match="no folder at"):
        compose("train", folder=folder, extra=[tmp_path / "none"])


def test_overrides_choose_options_and_change_settings(folder: Path) -> None:
    config = compose("train", ["task=pusht", "trainer.n_steps=5"], folder=folder)
    assert config.task.rate_hz == 10
    assert config.trainer.n_steps == 5
    assert config.run == "runs/pusht"


def test_an_experiment_overrides_slots_and_settings_together(folder: Path) -> None:
    config = compose("train", ["experiment=human"], folder=folder)
    assert (config.task.name, config.network.heads, config.seed) == ("pusht", 4, 7)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("task=pickplace", "no task named 'pickplace'; did you mean 'pick_place'? choices: "),
        ("network=zzz", "no network named 'zzz'; choices: dit, mlp"),
        ("trainer.n_step=5", "'train' has no setting 'trainer.n_step'; did you mean 'trainer.n_s"),
        ("sed=3", "'train' has no setting 'sed'; did you mean 'seed'?"),
        ("network.heads=3", "'train' has no setting 'network.heads'"),
        ("taks=pusht", "'train' has no setting 'taks'; did you mean 'task'?"),
        ("~nothing", "'train' has no setting 'nothing'"),
        ("seed=[1,2", "cannot read 'seed=[1,2' ("),
        ("seed=1,2", "'seed=1,2' asks for a sweep; add --multirun"),
        ("+task=pick_plac", "no task named 'pick_plac'; did you mean 'pick_place'?"),
    ],
)
def test_a_faulty_override_is_answered_in_one_line(folder: Path, override: str, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        compose("train", [override], folder=folder)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_the_faulty_override_is_named_among_good_ones(folder: Path) -> None:
    with pytest.raises(
        UsageError, match=r"no setting 'network\.head'; did you mean 'network\.head"
    ):
        compose("train", ["seed=1", "network=dit", "network.head=2", "+new=1"], folder=folder)


def test_a_slot_without_a_default_is_asked_for(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "train.yaml").write_text("defaults:\n  - task: ???\n\nseed: 0\n")
    with pytest.raises(UsageError, match=r"You must specify 'task'.*pick_place pusht"):
        compose("train", ["sed=1"], folder=tmp_path)
    with pytest.raises(UsageError, match="no setting 'sed'; did you mean 'seed'"):
        compose("train", ["sed=1", "task=pusht"], folder=tmp_path)


def test_a_broken_package_config_is_a_bug_and_not_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("defaults:\n  - task: gone\n")
    with pytest.raises(Exception, match="gone") as caught:
        compose("train", ["seed=1"], folder=tmp_path)
    assert not isinstance(caught.value, UsageError)


def test_a_value_that_must_be_given_is_asked_for_with_the_usage(folder: Path) -> None:
    with pytest.raises(UsageError, match="no value for data; usage: kinoise train DATA"):
        complete(compose("train", folder=folder), "kinoise train DATA")


def test_a_config_is_shown_unresolved_while_a_value_is_still_to_be_given(folder: Path) -> None:
    assert "run: ${data}/x" in to_yaml(compose("train", ["run=${data}/x"], folder=folder))
    assert "data: ???" in to_yaml(compose("train", folder=folder))
    assert "run: d/x" in to_yaml(compose("train", ["data=d", "run=${data}/x"], folder=folder))


def test_a_complete_config_holds_no_interpolation(folder: Path) -> None:
    config = complete(compose("train", ["data=x"], folder=folder), "")
    assert not OmegaConf.is_interpolation(config, "run")
    assert config.run == "runs/pick_place"


def test_an_interpolation_to_nowhere_is_answered_in_one_line(folder: Path) -> None:
    config = compose("train", ["data=x", "run=${tsk.name}"], folder=folder)
    with pytest.raises(UsageError, match="tsk") as caught:
        complete(config, "")
    assert "\n" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_a_quoted_word_arrives_as_it_was_typed(folder: Path, word: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    value = OverridesParser.create().parse_override(f"key={quote(word)}").value()
    assert OmegaConf.create({"key": value}).key == word


@pytest.mark.parametrize("choices", [[], ["experiment=human"], ["network=dit"]])
def test_the_slots_read_from_the_text_are_those_that_hydra_composes(
    folder: Path, choices: list[str]
) -> None:
    import hydra

    with hydra.initialize_config_dir(str(folder), version_base=None):
        config = hydra.compose("train", choices, return_hydra_config=True)
    composed = {k for k in config.hydra.runtime.choices if not k.startswith("hydra/")}
    assert set(catalogue.slots("train", folder)) == composed


def test_the_description_is_the_first_comment_that_is_no_directive(folder: Path) -> None:
    said = catalogue.description(folder / "experiment" / "human.yaml")
    assert said == "The human demonstrations."


def test_the_settings_of_a_verb_are_its_file_without_the_defaults_list(folder: Path) -> None:
    assert catalogue.settings_text("train", folder).startswith("seed: 0 # of everything\nrun:")
    assert catalogue.setting_names("train", folder) == [
        "seed",
        "run",
        "data",
        "trainer.n_steps",
        "trainer.betas",
    ]


PACKAGED = [
    path.relative_to(catalogue.config_folder()).as_posix()
    for path in sorted(catalogue.config_folder().rglob("*.yaml"))
]


@pytest.mark.parametrize("name", PACKAGED)
def test_every_packaged_config_says_what_it_is(name: str) -> None:
    assert catalogue.description(catalogue.config_folder() / name)


@pytest.mark.parametrize("verb", VERBS)
def test_the_slots_that_help_shows_exist(verb: str) -> None:
    groups = catalogue.groups()
    for group, option in catalogue.slots(verb).items():
        assert option == "null" or option in groups[group.split("@")[0]]
