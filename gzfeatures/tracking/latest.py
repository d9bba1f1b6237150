"""Mark the MLflow runs of the models in an experiment's newest comparison by tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gzfeatures.tracking.records import MADE, ComparedRun, ComparisonRecord
from gzfeatures.tracking.run_contents import COLUMNS

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST_RUNS = 10_000
"""Largest number of runs in which the compared models of an experiment are searched."""


CHAMPION = "champion"
"""Alias in MLflow of the registered model that came first in the newest comparison."""

Key = tuple[str, str, str, str]


def _key(tags: Mapping[str, str] | ComparedRun) -> Key:
    return (
        str(tags.get("road", "")),
        str(tags.get("backbone", "")),
        str(tags.get("head", "")),
        str(tags.get("seed", "")),
    )


def _tags_of(compared: ComparedRun) -> dict[str, str]:
    """Return the tags of a compared model's run, for searching and as columns in MLflow's UI.

    The UI sorts columns by name, so the names begin with numbers in the wanted order.
    """
    # default values, because a file of unrecorded results from an earlier version has no seconds
    values = {"seconds": "", "head": "", **compared}
    # shorten "0.938 to 0.993" to ".938–.993", which fits the column's width
    values["interval"] = re.sub(r"(?<!\d)0\.", ".", compared["interval"].replace(" to ", "–"))
    columns = {name: str(values[name.partition(" ")[2]]) for name in COLUMNS}
    return {"tied": compared["tied"], "interval": compared["interval"], **columns}


def is_newest(client: MlflowClient, experiment_id: str, record: ComparisonRecord) -> bool:
    """Return whether an experiment has no later comparison than this one.

    A comparison that is recorded late must not replace a newer one.
    """
    others = client.search_runs([experiment_id], "tags.kind = 'comparison'", max_results=MOST_RUNS)
    made = int(record.tags[MADE])
    return all(int(run.data.tags.get(MADE, 0)) <= made for run in others)


def mark_latest(
    client: MlflowClient, experiment_id: str, record: ComparisonRecord, comparison: str
) -> dict[Key, str]:
    """Tag runs in this comparison with `latest: yes`, and all other runs with `latest: no`.

    Runs of models that are not clearly worse than the first get `tied: yes`; the tag `interval` is
    the confidence interval of the score.

    Returns
    -------
    dict
        Run of each candidate, by approach, backbone, head and seed.
    """
    told = {_key(each): _tags_of(each) for each in record.compared}
    found: dict[Key, str] = {}
    for run in client.search_runs(
        [experiment_id], max_results=MOST_RUNS, order_by=["attributes.start_time DESC"]
    ):
        tags = run.data.tags
        key = _key(tags)
        compared = tags.get("split") == record.split and key in told and key not in found
        if compared:
            found[key] = run.info.run_id
            for name, value in told[key].items():
                if tags.get(name) != value:
                    client.set_tag(run.info.run_id, name, value)
        latest = "yes" if compared or run.info.run_id == comparison else "no"
        if tags.get("latest") != latest:
            client.set_tag(run.info.run_id, "latest", latest)
    return found


def name_champion(
    client: MlflowClient, record: ComparisonRecord, compared: Mapping[Key, str]
) -> None:
    """Give the MLflow alias `champion` to the best compared model, and take it from all others.

    Parameters
    ----------
    client : MlflowClient
        Client of the database with the models.
    record : ComparisonRecord
        The newest comparison.
    compared : mapping
        Run of each candidate, from `mark_latest`.
    """
    first = record.compared[0]
    for name in {each["model"] for each in record.compared}:
        for model in client.search_registered_models(f"name = '{name}'"):
            if CHAMPION in model.aliases:
                client.delete_registered_model_alias(name, CHAMPION)
    run, name = compared.get(_key(first)), first["model"]
    # without its head file the model is not registered, and this loop finds no version
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.run_id == run:
            client.set_registered_model_alias(name, CHAMPION, version.version)
            return
