"""Compose a verb's config from the packaged YAML files and the user's overrides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import catalogue
from .errors import UsageError, suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig


def compose(
    verb: str,
    overrides: Sequence[str] = (),
    *,
    folder: Path | None = None,
    extra: Sequence[Path] = (),
) -> DictConfig:
    """Return the config of `verb` with Hydra `overrides` applied.

    Args:
        verb: name of the config.
        overrides: in Hydra's grammar.
        folder: holds the YAML files; the packaged ones by default.
        extra: folders of the user's own YAML files, searched besides.

    Raises:
        UsageError: an override that Hydra cannot read or that fits nothing; one line with the
            nearest right name.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    folder = folder or catalogue.config_folder()
    overrides = [*task_of_data(verb, overrides), *overrides, *search_path(overrides, extra)]
    try:
        return remember(_compose(verb, overrides, folder), overrides)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        if "You must specify" in str(error):  # a slot without a default
            raise UsageError(" ".join(str(error).split())) from error
        _explain(verb, overrides, folder, extra)
        raise UsageError(_first_line(error)) from error


def task_of_data(verb: str, overrides: Sequence[str]) -> list[str]:
    """Return the overrides by which `kinoise train data.path=X.zarr` learns what the data show.

    Only where nothing else says what the task is.
    """
    keys = [text.lstrip("+~").partition("=")[0].partition("@")[0] for text in overrides]
    if verb != "train" or "data.path" not in keys or {"task", "experiment"} & set(keys):
        return []
    path = _parse(overrides[keys.index("data.path")]).value()
    stem = Path(str(path)).name.partition(".")[0]
    return ["task=from_data", f"task.name={quote(stem)}"] if stem else ["task=from_data"]


def search_path(overrides: Sequence[str], extra: Sequence[Path]) -> list[str]:
    """Return the override by which Hydra also searches the folders `extra`, as `--config-dir` does.

    Raises:
        UsageError: one of them is not there, or the overrides set a search path themselves.
    """
    if not extra:
        return []
    for folder in extra:
        if not folder.is_dir():
            raise UsageError(f"--config-dir: no folder at '{folder}'")
    if any(text.lstrip("+").startswith("hydra.searchpath=") for text in overrides):
        raise UsageError("give --config-dir or hydra.searchpath=[...], not both")
    places = ",".join(quote(f"file://{folder.resolve()}") for folder in extra)
    return [f"hydra.searchpath=[{places}]"]


def remember(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Write the overrides into a config that has a place for them, `given`; they stay text.

    Those of Hydra itself are left out: they say how jobs are run, and refer to what a job lacks.
    """
    if "given" in config:
        kept = [text for text in overrides if not text.lstrip("+~").startswith("hydra")]
        config.given = [text.replace("${", "\\${") for text in kept]
    return config


def complete(config: DictConfig, wanted: str) -> DictConfig:
    """Resolve every interpolation of `config`; `wanted` is the usage shown when a value is absent.

    Raises UsageError when a mandatory value (`???`) was not given or `${...}` points nowhere.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    missing = [path for path, parent, key in _nodes(config) if OmegaConf.is_missing(parent, key)]
    if missing:
        raise UsageError(f"no value for {', '.join(missing)}; usage: {wanted}")
    try:
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        raise UsageError(_first_line(error)) from error
    return config


def to_yaml(config: DictConfig) -> str:
    """Return `config` as YAML, resolved unless a value that it needs is still to be given."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_yaml(config, resolve=True)
    except OmegaConfBaseException:
        return OmegaConf.to_yaml(config)


def quote(value: str) -> str:
    """Return `value` as a quoted string of Hydra's override grammar."""
    # Only the backslashes before a quote are escapes there; OmegaConf reads `\${` as a bare `${`.
    escaped = value.replace("\\'", "\\\\'").replace("'", "\\'").replace("${", "\\${")
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{trailing * chr(92)}'"


def _compose(verb: str, overrides: Sequence[str], folder: Path) -> DictConfig:
    import hydra

    with hydra.initialize_config_dir(config_dir=str(folder.resolve()), version_base=None):
        return hydra.compose(config_name=verb, overrides=list(overrides))


def _explain(verb: str, overrides: Sequence[str], folder: Path, extra: Sequence[Path]) -> None:
    """Raise the UsageError that fits the first faulty override; return when none is at fault."""
    groups = catalogue.groups(folder)
    for place in extra:
        for group, options in catalogue.groups(place).items():
            groups[group] = [*groups.get(group, []), *options]
    parsed = [_parse(text) for text in overrides]
    for override in parsed:
        _check_option(override, groups)
    choices = [each.input_line or "" for each in parsed if each.key_or_group in groups]
    names = list(catalogue.slots(verb, folder))
    names += [path for path, _, _ in _nodes(_usable(verb, choices, folder))]
    for override in parsed:
        _check_name(override, verb, names)


def _usable(verb: str, choices: Sequence[str], folder: Path) -> DictConfig:
    """Return the config with those `choices` of options that apply to `verb`."""
    from hydra.errors import HydraException

    try:
        return _compose(verb, choices, folder)
    except HydraException:
        if not choices:
            raise
    kept: list[str] = []
    for choice in choices:
        try:
            _compose(verb, [*kept, choice], folder)
        except HydraException:
            continue
        kept.append(choice)
    return _compose(verb, kept, folder)


def _parse(text: str) -> Override:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        hint = "quote text that holds spaces, commas, brackets or '=': \"key='some text'\""
        raise UsageError(f"cannot read '{text}' ({_first_line(error)}); {hint}") from error
    if override.is_sweep_override():
        raise UsageError(
            f"'{text}' asks for a sweep; add --multirun for one run each, or give a list as [a,b]"
        )
    return override


def _check_option(override: Override, groups: dict[str, list[str]]) -> None:
    group = override.key_or_group
    option = override.value()
    options = groups.get(group, [])
    if options and option is None:
        raise UsageError(
            f"{group}=null chooses no {group}; give {group}=NAME; choices: {', '.join(options)}"
        )
    if not options or isinstance(option, list) or override.is_delete() or option in options:
        return
    hint = suggest(str(option), options) or ";"
    raise UsageError(f"no {group} named '{option}'{hint} choices: {', '.join(options)}")


def _check_name(override: Override, verb: str, names: Sequence[str]) -> None:
    key = override.key_or_group
    label = f"{key}@{override.package}" if override.package else key
    if override.is_add() and key in names and override.package is None:
        raise UsageError(f"'{key}' is there already; change it by {key}=..., without the plus")
    added = override.is_add() or override.is_force_add()
    if label in names or added or key.startswith(("hydra.", "hydra/")):
        return
    hint = suggest(label, names)
    raise UsageError(
        f"'{verb}' has no setting '{label}'{hint or ';'} `kinoise {verb} --cfg` lists them all"
    )


def _nodes(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, DictConfig, str]]:
    """Yield the dotted path of every key, inner nodes included, and its parent and last part."""
    from omegaconf import DictConfig, OmegaConf

    for key in map(str, config):
        yield f"{prefix}{key}", config, key
        if OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key):
            continue
        if isinstance(config[key], DictConfig):
            yield from _nodes(config[key], f"{prefix}{key}.")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
