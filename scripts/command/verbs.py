"""The verbs of the `kinoise` command: one row each, no code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Positional:
    """A word that may stand bare after the verb, and the config key that it sets."""

    key: str
    metavar: str
    help: str
    choices: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True)
class Flag:
    """An option `--<key>` after the verb that sets a config key to true."""

    key: str
    help: str


@dataclass(frozen=True)
class Verb:
    """One verb: `kinoise.scripts.<module>` runs it on the config `configs/<name>.yaml`.

    Its module holds `Settings`, the schema of that config, and `run(settings)`.

    Attributes:
        name: as it is typed.
        module: within `kinoise.scripts`.
        summary: one line of help.
        examples: command lines and what they do.
        positionals: words that may stand bare.
        figures: the setting that names the folder of its results, where `run` returns figures and
            `--multirun` can gather them; "" where it cannot.
        flags: options of its own.
    """

    name: str
    module: str
    summary: str
    examples: tuple[tuple[str, str], ...]
    positionals: tuple[Positional, ...] = ()
    figures: str = ""
    flags: tuple[Flag, ...] = ()


CHECKPOINT = Positional("checkpoint", "CHECKPOINT", "folder that `kinoise train` wrote")

VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            "demo",
            "demo",
            "collect, train, evaluate and control, end to end",
            (("kinoise demo", "the whole stack on PickPlace, in minutes on a laptop"),),
        ),
        Verb(
            "collect",
            "collect",
            "record demonstrations from a scripted expert",
            (
                ("kinoise collect task=pick_place", "demonstrations with the task's own expert"),
                ("kinoise collect task=push_t --cfg", "show the settings without running"),
            ),
        ),
        Verb(
            "import",
            "importing",
            "bring a foreign data set into Kinoise's format",
            (
                ("kinoise import --explain demos.npz", "what it holds, and the command to write"),
                ("kinoise import SOURCE.zarr data/pusht_human.zarr origin=pusht_human", "Push-T"),
                (
                    "kinoise import demos.hdf5 data/cups.zarr 'keys={obs: state, action: cmd}'",
                    "say which array is which",
                ),
            ),
            (
                Positional("source", "SOURCE", "data set to read: a folder, file or zip"),
                Positional("out", "OUT", "data set to write"),
            ),
            flags=(Flag("explain", "say what SOURCE holds and what would be done; write nothing"),),
        ),
        Verb(
            "export",
            "exporting",
            "write a data set in LeRobot's format",
            (
                ("kinoise export data/pick_place.zarr lerobot/pick_place", "parquet, lossless"),
                ("kinoise export data/x.zarr lerobot/x images=h264", "pictures as video"),
            ),
            (
                Positional("data", "DATA", "data set to read"),
                Positional("out", "OUT", "folder to write"),
            ),
        ),
        Verb(
            "inspect",
            "inspect",
            "say what a data set holds and what would hurt training",
            (("kinoise inspect data/pusht_human.zarr", "contents, warnings and a plot"),),
            (Positional("data", "DATA", "data set to look at"),),
        ),
        Verb(
            "train",
            "train",
            "train a policy on demonstrations",
            (
                ("kinoise train experiment=pusht_human", "a whole recipe by its name"),
                ("kinoise train family=edm", "a named method: its choice in every slot"),
                (
                    "kinoise train network=dit trainer.learning_rate=3e-4",
                    "other settings",
                ),
                (
                    "kinoise train recipe=auto minutes=20",
                    "settings from the data, steps from a budget",
                ),
                ("kinoise train -m seed=0,1,2 network=dit,unet1d", "six runs and their table"),
            ),
            figures="run",
        ),
        Verb(
            "eval",
            "eval",
            "roll a policy out on fresh seeds and write report.html",
            (
                ("kinoise eval runs/pick_place", "success with its interval, score, latency"),
                ("kinoise eval runs/pick_place sampler=ddim", "the same policy, another solver"),
                (
                    "kinoise eval runs/pick_place sampler=ddim policy.sampler.path=vp_cosine",
                    "along another path than the one trained on",
                ),
                (
                    "kinoise eval runs/x env=gym:Pendulum-v1 success='return>=-200'",
                    "in any environment of gymnasium",
                ),
            ),
            (CHECKPOINT,),
            figures="out",
        ),
        Verb(
            "familiarity",
            "familiarity",
            "say how familiar observations are to a policy",
            (("kinoise familiarity runs/pick_place", "of episodes, corrupted and pushed ones"),),
            (CHECKPOINT,),
        ),
        Verb(
            "diagnose",
            "diagnose",
            "say why a policy fails, and what to try",
            (
                ("kinoise diagnose runs/pick_place", "a ranked list of causes, and a report"),
                ("kinoise diagnose runs/pick_place minutes=2", "a quicker look"),
            ),
            (CHECKPOINT,),
        ),
        Verb(
            "tune",
            "tune",
            "find the sampling grid that makes the most of few steps",
            (("kinoise tune runs/pick_place n_steps=4", "writes runs/pick_place/tuned_n4"),),
            (CHECKPOINT,),
        ),
        Verb(
            "control",
            "control",
            "run a policy against the real clock",
            (("kinoise control runs/pick_place", "deadline misses and latency percentiles"),),
            (CHECKPOINT,),
        ),
        Verb(
            "bench",
            "bench",
            "measure: latency, loader, training, families, guidance, execution, recipes",
            (
                ("kinoise bench latency", "chunk p50/p99 of each backbone and sampler"),
                ("kinoise bench loader", "windows per second against a torch DataLoader"),
                ("kinoise bench families args=[--task,pick_place]", "every named family; resumes"),
                ("kinoise bench recipes args=[--minutes,20]", "every recipe on every data set"),
            ),
            (
                Positional(
                    "benchmark",
                    "BENCHMARK",
                    "what to measure",
                    choices=(
                        "latency",
                        "loader",
                        "training",
                        "families",
                        "guidance",
                        "execution",
                        "recipes",
                    ),
                ),
            ),
        ),
        Verb(
            "task",
            "tasks.new",
            "write the YAML of a task, to start from",
            (
                (
                    "kinoise task new reach env=gym:Reacher-v5 success='reward>=-0.05'",
                    "of a simulator",
                ),
                ("kinoise task new reach data=data/reach.zarr", "of a data set"),
            ),
            (
                Positional("action", "new", "what to do", choices=("new",)),
                Positional("name", "NAME", "of the task"),
            ),
        ),
        Verb(
            "methods",
            "methods",
            "list every slot and what can stand in it",
            (
                ("kinoise methods", "all slots"),
                ("kinoise methods sampler", "one slot"),
                ("kinoise methods family", "the named methods"),
            ),
            (Positional("slot", "SLOT", "show this slot only", required=False),),
        ),
    )
}
