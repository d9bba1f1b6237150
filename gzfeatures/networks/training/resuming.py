"""Decide whether a training is continued, read as finished from its folder, or started anew."""

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
"""Version of the settings; raise it if the same settings would train differently than before."""


@dataclasses.dataclass(frozen=True)
class EarlierTraining:
    """Hold the state of an earlier training, read from disk, that is continued.

    Parameters
    ----------
    path : Path
        Its state.
    state : dict
        `best` weights, `history`, …
    grows : bool
        It was finished, or began, with fewer epochs: it goes on from its weights with a course of
        its own.
    threads : int
        Threads it computed with.
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
    """Use a fixed number of threads; another number changes the last digits of sums."""
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
    """Return the training in a folder that is to be continued, or None to start anew.

    An unfinished one of the same settings goes on, a finished one is read. More epochs than it had
    are added to it. An unfinished one of other settings is replaced, which is said; a finished one
    only `again`.

    Parameters
    ----------
    folder : Path
    settings : dict
        What the training depends on.
    resume : bool
        Insist on going on: other settings are an error, and so is a damaged state.
    again : bool
        Begin anew in any case.
    say : callable
        Takes lines for the person.

    Raises
    ------
    InputError
        The folder holds a finished training of other settings; or `resume` cannot be done. The
        first setting that differs is named.
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
    # the settings differ, so refuse to replace a finished training unless the user asks for it
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
    # tell a user who compares numbers why they may differ
    present = machine_now()
    finished = stored["finished"] and not grows
    for name, text in (("kind", "on another machine"), ("torch", "with another PyTorch")):
        if name in machine and machine[name] != present[name] and not finished:
            was, now = machine[name], present[name]
            say(f"it began {text} ({was}, here {now}): the last digits will differ")


def _require_free(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse a folder with the checkpoint of another training, even if its state is missing."""
    before = read_sidecar(folder / RECORD).get("settings")
    if before is None:
        return
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


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Return the first setting in which two trainings differ; "epochs" if no other differs."""
    # settings name the halving seed only if it was chosen, so compare it also if it is missing now
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
    """Return the name and both values of a setting in which two trainings differ."""
    # in a group of settings, name the first that differs, because the whole group would not fit
    # into an error of one line
    if odd == "format":
        return "format of settings", str(before.get("format", 1)), str(now["format"])
    if odd == "epochs":
        return "number of epochs", str(before["recipe"]["epochs"]), str(now["recipe"]["epochs"])
    first, second = before.get(odd), now.get(odd)
    if isinstance(first, dict) and isinstance(second, dict):
        key = next((k for k in second if json.dumps(first.get(k)) != json.dumps(second[k])), None)
        if key is not None:
            return f"{odd} ({key})", str(first.get(key)), str(second[key])
    return odd, str(first), str(second)
