"""The `kinoise` command: words to overrides, help, completion, and what each failure prints."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kinoise.scripts.command import cli, completion, errors
from kinoise.scripts.command.composing import compose
from kinoise.scripts.command.errors import UsageError
from kinoise.scripts.command.multirun import jobs
from kinoise.scripts.command.verbs import VERBS

HEAVY = ("torch", "mujoco", "hydra", "omegaconf", "numpy", "zarr", "diffusers", "rich")


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Return a function that lets the verb `methods` fail with the error that it is given."""

    def set_failure(error: BaseException) -> None:
        def run(_: object) -> None:
            raise error

        monkeypatch.setattr("kinoise.scripts.methods.run", run)

    return set_failure


def _error_line(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run a command that must be refused and return the one line that it prints."""
    assert cli.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("kinoise: error: ")
    assert err.count("\n") == 1
    return err.removeprefix("kinoise: error: ").strip()


def test_bare_words_fill_the_positionals_in_order() -> None:
    words = ["a b.zarr", "task=pusht", "data/out.zarr", "+x=1"]
    assert cli.to_overrides(VERBS["import"], words) == [
        "task=pusht",
        "+x=1",
        "source='a b.zarr'",
        "out='data/out.zarr'",
    ]


def test_an_existing_path_with_an_equals_sign_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "lr=3").mkdir(parents=True)
    assert cli.to_overrides(VERBS["eval"], ["runs/lr=3"]) == ["checkpoint='runs/lr=3'"]
    assert cli.to_overrides(VERBS["eval"], ["runs=3"]) == ["runs=3"]


@pytest.mark.parametrize("word", ["a=1", "a.b=1", "+a=1", "++a.b=x", "~a", "net@policy.net=dit"])
def test_every_form_of_override_is_told_from_a_word(word: str) -> None:
    assert cli.is_override(word)


@pytest.mark.parametrize("word", ["runs/x", "./a=b", "/abs/a=b", "latency", "~/data", "-3"])
def test_a_path_is_not_an_override(word: str) -> None:
    assert not cli.is_override(word)


def test_options_may_stand_among_the_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["methods", "path", "--cfg", "slot=time"]) == 0
    assert capsys.readouterr().out.startswith("slot: path\n")


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["trian"], "no verb named 'trian'; did you mean 'train'? verbs: demo, "),
        (["zzz"], "no verb named 'zzz'; verbs: demo, "),
        (["methods", "--loud"], "no option '--loud'; `kinoise methods --help` lists them"),
        (["methods", "a", "b"], "what to do with 'b'? usage: kinoise methods [SLOT]"),
        (["methods", "slt=path"], "'methods' has no setting 'slt'; did you mean 'slot'?"),
        (["methods", "pth"], "no slot named 'pth'; did you mean 'path'? slots: "),
        (["bench", "latncy"], "no benchmark named 'latncy'; did you mean 'latency'? choices: "),
        (["--loud"], "no option '--loud'; `kinoise --help` lists them"),
    ],
)
def test_a_mistake_in_the_command_is_answered_in_one_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], line: str
) -> None:
    assert _error_line(capsys, *argv).startswith(line)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UsageError("two\nlines"), "two lines"),
        (OSError(errno.ENOSPC, "No space", "data/x"), "disk full at 'data/x'; free some space"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk full: I/O error"),
        (PermissionError(errno.EACCES, "denied", "/x"), "permission denied at '/x'; choose"),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    capsys: pytest.CaptureFixture[str],
    fail: Callable[[BaseException], None],
    error: BaseException,
    line: str,
) -> None:
    fail(error)
    assert _error_line(capsys, "methods").startswith(line)


@pytest.mark.parametrize(("module", "name"), errors.ROOM_ERRORS)
def test_a_rooms_own_error_is_one_line(
    capsys: pytest.CaptureFixture[str],
    fail: Callable[[BaseException], None],
    module: str,
    name: str,
) -> None:
    room = pytest.importorskip(module)
    fail(getattr(room, name)("no such episode"))
    assert _error_line(capsys, "methods") == "no such episode"


def test_a_bug_keeps_its_traceback(fail: Callable[[BaseException], None]) -> None:
    fail(KeyError("a bug"))
    with pytest.raises(KeyError, match="a bug"):
        cli.main(["methods"])


def test_ctrl_c_ends_with_one_line_and_status_130(
    capsys: pytest.CaptureFixture[str], fail: Callable[[BaseException], None]
) -> None:
    fail(KeyboardInterrupt())
    assert cli.main(["methods"]) == 130
    assert capsys.readouterr().err == "kinoise: interrupted\n"


class Gadget:
    """Something that a config can name."""

    def __init__(self, width: int = 1) -> None:
        if width < 0:
            raise UsageError("width must not be negative")
        if width == 0:
            raise TypeError("a bug")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"widht": 3}, "Gadget has no setting 'widht'; did you mean 'width'?; it has: width"),
        ({"width": -1}, "width must not be negative"),
        ({"width": 0}, None),
    ],
)
def test_a_constructor_that_refuses_its_config_is_explained(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, int], line: str | None
) -> None:
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    module = type(sys)("gadgets")
    module.Gadget = Gadget  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gadgets", module)
    with pytest.raises(InstantiationException) as caught:
        instantiate({"_target_": "gadgets.Gadget", **settings})
    assert errors.user_line(caught.value) == line


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples_that_compose(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([verb, "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"usage: kinoise {verb}")
    for example, _ in VERBS[verb].examples:
        assert example in page
        _, named, *words = shlex.split(example)
        assert named == verb
        overrides = cli.to_overrides(VERBS[verb], [w for w in words if not w.startswith("-")])
        for job in jobs(overrides):
            compose(verb, job)


def test_help_names_every_verb_and_version_every_library(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([]) == 0
    page = capsys.readouterr().out
    assert all(f"  {verb.name:<11} {verb.summary}" in page for verb in VERBS.values())
    assert cli.main(["--version"]) == 0
    assert "torch" in capsys.readouterr().out


def test_help_and_completion_import_nothing_heavy() -> None:
    program = (
        "import sys; from kinoise.scripts.command import cli, completion, help, verbs\n"
        "cli.build_parser(); help.for_command()\n"
        "for verb in verbs.VERBS.values():\n"
        "    help.for_verb(verb); completion.candidates(verb, 'a')\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_reader_that_leaves_early_causes_no_complaint() -> None:
    command = [sys.executable, "-m", "kinoise.scripts.command.cli", "methods", "--cfg"]
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, "")


def test_words_complete_to_slots_options_settings_and_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / ".hidden").touch()
    train, bench = VERBS["train"], VERBS["bench"]
    assert "sampler=" in completion.candidates(train, "sam")
    assert "sampler=ddim" in completion.candidates(train, "sampler=d")
    assert completion.candidates(train, "+target=velo") == ["+target=velocity"]
    assert completion.candidates(VERBS["methods"], "slo") == ["slot="]
    assert completion.candidates(train, "run=ru") == ["run=runs/"]
    assert completion.candidates(VERBS["eval"], "runs/") == ["runs/a/"]
    assert completion.candidates(VERBS["eval"], "nowhere/") == []
    assert completion.candidates(bench, "l") == ["latency", "loader"]
    assert not [w for w in completion.candidates(VERBS["eval"], "") if w.startswith(".")]


def test_the_shell_gets_its_answer_from_the_command(tmp_path: Path) -> None:
    line = "kinoise ben"
    answer = tmp_path / "answer"
    # argcomplete answers on descriptor 8 of a real shell; this variable sends it to a file.
    environment = os.environ | {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    subprocess.run(
        [sys.executable, "-m", "kinoise.scripts.command.cli"], env=environment, check=False
    )
    assert answer.read_text().strip() == "bench"


def test_a_line_brings_no_control_characters_to_the_terminal() -> None:
    line = errors.user_line(errors.UsageError("no run named 'a\x1b[2J\r\n\x07b'"))
    assert line == "no run named 'a\\x1b[2J \\x07b'"
