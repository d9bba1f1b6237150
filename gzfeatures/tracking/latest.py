"""Tag the MLflow runs of those models that an experiment's newest comparison contains."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gzfeatures.tracking.records import MADE, ComparedRun, ComparisonRecord
from gzfeatures.tracking.run_contents import COLUMNS

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST_RUNS = 10_000
"""Largest number of runs of an experiment among which its compared models are searched."""


CHAMPION = "champion"
"""Alias that MLflow shows for the registered model that was best in the newest comparison."""

Key = tuple[str, str, str, str]


def _key(tags: Mapping[str, str] | ComparedRun) -> Key:
    return (
        str(tags.get("road", "")),
        str(tags.get("backbone", "")),
        str(tags.get("head", "")),
        str(tags.get("seed", "")),
    )


def _tags_of(compared: ComparedRun) -> dict[str, str]:
    """Return the tags of a compared model's run: for searches, and as columns of MLflow's UI.

    The UI sorts columns by name, so the names begin with numbers in the wanted order.
    """
    # set default values: files of unrecorded results that earlier versions wrote lack the measured
    # time (`seconds`)
    values = {"seconds": "", "head": "", **compared}
    # shorten "0.938 to 0.993" to ".938–.993", which fits the column's width
    values["interval"] = re.sub(r"(?<!\d)0\.", ".", compared["interval"].replace(" to ", "–"))
    columns = {name: str(values[name.partition(" ")[2]]) for name in COLUMNS}
    return {"tied": compared["tied"], "interval": compared["interval"], **columns}


def is_newest(client: MlflowClient, experiment_id: str, record: ComparisonRecord) -> bool:
    """Return whether no comparison of an experiment in MLflow is later than the given one.

    A comparison may be recorded days after it was made, and must not replace a newer one.
    """
    others = client.search_runs([experiment_id], "tags.kind = 'comparison'", max_results=MOST_RUNS)
    made = int(record.tags[MADE])
    return all(int(run.data.tags.get(MADE, 0)) <= made for run in others)


def mark_latest(
    client: MlflowClient, experiment_id: str, record: ComparisonRecord, comparison: str
) -> dict[Key, str]:
    """Tag an experiment's runs: `latest: yes` if they are in this comparison, otherwise `no`.

    The run of a model that is not clearly worse than the best model gets `tied: yes`; the tag
    `interval` is the confidence interval of the model's score.

    Returns
    -------
    dict
        (approach, backbone, head, seed) of each compared model → id of its run.
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
        Run of each compared model, from `mark_latest`.
    """
    first = record.compared[0]
    for name in {each["model"] for each in record.compared}:
        for model in client.search_registered_models(f"name = '{name}'"):
            if CHAMPION in model.aliases:
                client.delete_registered_model_alias(name, CHAMPION)
    run, name = compared.get(_key(first)), first["model"]
    # a model whose head file was not saved is not registered: the loop then finds no version, and
    # no model has the alias any more
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.run_id == run:
            client.set_registered_model_alias(name, CHAMPION, version.version)
            return
