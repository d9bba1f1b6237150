"""Decide from a folder's files if a training starts anew, continues, or is already finished."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from gzfeatures import fingerprint
from gzfeatures.errors import InputError
from gzfeatures.features.backbones import RECORD
from gzfeatures.files import read_sidecar
from gzfeatures.networks.training.checkpoint import STATE, machine_now, read_state

SETTINGS_FORMAT = 2
"""Version of the settings; increase it if equal settings would train differently than before."""

LATER_FIELDS: dict[str, Any] = {"batch_statistics": "trained", "anchor": 0.0}
"""Fields of a recipe that settings of this format may lack, with what they were before."""


@dataclasses.dataclass(frozen=True)
class EarlierTraining:
    """Store the state (weights, history) of an earlier training that is continued.

    Parameters
    ----------
    path : Path
        File of the state.
    state : dict
        `best` weights, `history`, …
    grows : bool
        Whether epochs are added: the earlier training was planned with fewer epochs, and a new
        learning-rate schedule starts from its weights.
    threads : int
        Number of threads that the earlier training computed with.
    """

    path: Path
    state: dict[str, Any]
    grows: bool
    threads: int

    @property
    def finished(self) -> bool:
        """Return whether the earlier training has no epochs left to train."""
        return bool(self.state["finished"]) and not self.grows


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Set PyTorch's number of threads, which changes the last digits of sums, in a `with` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def earlier(
    folder: Path,
    settings: dict[str, Any],
    *,
    resume: bool,
    again: bool,
    say: Callable[[str], object],
) -> EarlierTraining | None:
    """Return the earlier training in a folder if it is to be continued, or None to start anew.

    An unfinished training with the same settings continues, a finished one is read. If only the
    number of epochs is now larger, the missing epochs are added. An unfinished training with other
    settings is replaced, with a message; a finished one is replaced only by `again`.

    Parameters
    ----------
    folder : Path
    settings : dict
        Settings that decide the result of the training.
    resume : bool
        Refuse other settings and a damaged state, instead of starting anew.
    again : bool
        Start anew in any case.
    say : callable
        Shows lines to the user.

    Raises
    ------
    InputError
        The folder holds a finished training with other settings, or `resume` is set and the
        training cannot be continued. The message names the first setting that differs.
    """
    path = folder / STATE
    if again:
        return None
    if not path.exists():
        _require_free(folder, settings)
        return None
    try:
        state = read_state(path)
        kept, before, machine = state["gzfeatures"], state["settings"], state.get("machine", {})
        before = _completed(before)
    except (InputError, KeyError) as error:
        if resume:
            raise
        say(f"the state of an earlier training cannot be used and is replaced: {error}")
        return None
    # a training can be continued with more epochs, but with no other change of settings
    differing = _difference(before, settings)
    if differing is None or (
        differing == "epochs" and settings["recipe"]["epochs"] > before["recipe"]["epochs"]
    ):
        _tell(path, kept, before, settings, differing is not None, machine, say)
        return EarlierTraining(
            path, kept, differing is not None, int(machine.get("threads", torch.get_num_threads()))
        )
    # the settings differ: replace an unfinished training, but a finished one only if the user asks
    name, was, now = _named(differing, before, settings)
    if resume:
        raise InputError(
            f"training to resume had another {name}",
            where=path,
            rule=f"be {was}",
            found=str(now),
            remedy="resume with the same settings, or train anew without resuming",
        )
    if kept["finished"]:
        raise _taken(path, name, was, now)
    say(
        f"an unfinished training in {folder} had another {name} ({was}, not {now}); it starts again"
    )
    return None


def _tell(
    path: Path,
    stored: dict[str, Any],
    before: dict[str, Any],
    settings: dict[str, Any],
    grows: bool,
    machine: dict[str, Any],
    say: Callable[[str], object],
) -> None:
    done, total = stored["history"][-1]["epoch"], settings["recipe"]["epochs"]
    if grows:
        say(
            f"{path} holds {done:g} epochs of {before['recipe']['epochs']}; "
            f"training goes on to {total} with a warm-up "
            f"and a decay of its own, which is not the same as asking for {total} at once"
        )
    elif stored["finished"]:
        say(f"{path} holds this very training, finished; it is read (--again trains anew)")
    else:
        say(f"going on after epoch {done:g} of {total}, from {path}")
    # say why results may differ slightly: the first epochs ran elsewhere, or with another PyTorch
    present = machine_now()
    finished = stored["finished"] and not grows
    for name, text in (("kind", "on another machine"), ("torch", "with another PyTorch")):
        if name in machine and machine[name] != present[name] and not finished:
            was, now = machine[name], present[name]
            say(f"it began {text} ({was}, here {now}): the last digits will differ")


def _require_free(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse a folder whose checkpoint was written by a training with other settings.

    The folder is refused also if the file with that training's state is missing.
    """
    before = read_sidecar(folder / RECORD).get("settings")
    if before is None:
        return
    before = _completed(before)
    odd = _difference(before, settings)
    if odd is not None:
        raise _taken(folder / RECORD, *_named(odd, before, settings))


def _taken(path: Path, name: str, was: str, now: str) -> InputError:
    return InputError(
        f"folder holds a finished training with another {name}",
        where=path,
        rule=f"be {was}",
        found=now,
        remedy="choose another folder, or replace it with --again",
    )


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an earlier training with the recipe fields that were added later."""
    recipe = settings.get("recipe")
    return settings | {"recipe": LATER_FIELDS | recipe} if isinstance(recipe, dict) else settings


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Return the first setting in which two trainings differ; "epochs" if nothing else differs."""
    # the seed that halves the validation galaxies is stored only if it differs from the training's
    # seed: compare it also if only `before` has it
    for name in (*now, *({"halving_seed"} & before.keys() - now.keys())):
        first, second = (fingerprint.canonical_json(fields.get(name)) for fields in (before, now))
        if first == second:
            continue
        if name == "recipe" and isinstance(before.get(name), dict):
            odd = [key for key in now[name] if before[name].get(key) != now[name][key]]
            if odd == ["epochs"]:
                rest = {key: value for key, value in now.items() if key != "recipe"}
                return _difference(before, rest) or "epochs"
        return name
    return None


def _named(odd: str, before: dict[str, Any], now: dict[str, Any]) -> tuple[str, str, str]:
    """Return name, old value and new value of a setting in which two trainings differ."""
    if odd == "format":
        return "format of settings", str(before.get("format", 1)), str(now["format"])
    if odd == "epochs":
        return "number of epochs", str(before["recipe"]["epochs"]), str(now["recipe"]["epochs"])
    first, second = before.get(odd), now.get(odd)
    # of a group of settings, name the first that differs: an error message has only one line
    if isinstance(first, dict) and isinstance(second, dict):
        key = next((k for k in second if json.dumps(first.get(k)) != json.dumps(second[k])), None)
        if key is not None:
            return f"{odd} ({key})", str(first.get(key)), str(second[key])
    return odd, str(first), str(second)
