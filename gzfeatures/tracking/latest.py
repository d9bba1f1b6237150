"""Mark the runs that the newest comparison of an experiment compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gzfeatures.tracking.run_contents import interval_text, model_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from gzfeatures.evaluation.candidate import Candidate
    from gzfeatures.evaluation.rows import RankedRow
    from gzfeatures.report.report import Report

MOST_RUNS = 10_000
"""Most runs of an experiment that are searched for the candidates of a comparison."""


CHAMPION = "champion"
"""Alias of the registered model that came first in the newest comparison."""

Key = tuple[str, str, str, str]


def _key(row: Candidate | RankedRow) -> Key:
    return row.approach, row.backbone, row.head or "none", str(row.seed)


def mark_latest(
    client: MlflowClient, experiment_id: str, report: Report, comparison: str
) -> dict[Key, str]:
    """Tag the runs of this comparison with `latest: yes`, and earlier runs with `latest: no`.

    Those that are not told apart from the first are tagged `tied: yes`; `interval` is the score's.

    Returns
    -------
    dict
        Run of each candidate, by approach, backbone, head and seed.
    """
    metric, told = report.comparison.metric, {}
    for row, _ in report.ranked:
        tied = "first" if row.rank == 1 else "yes" if row.tied else "no"
        told[_key(row)] = {"tied": tied, "interval": interval_text(row, metric)}
    found: dict[Key, str] = {}
    for run in client.search_runs(
        [experiment_id], max_results=MOST_RUNS, order_by=["attributes.start_time DESC"]
    ):
        tags = run.data.tags
        key = (
            tags.get("road", ""),
            tags.get("backbone", ""),
            tags.get("head", ""),
            tags.get("seed", ""),
        )
        same_split = tags.get("split") == report.split.fingerprint
        compared = same_split and key in told and key not in found
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
    client: MlflowClient, experiment: str, report: Report, compared: Mapping[Key, str]
) -> None:
    """Give the alias `champion` to the registered model of the first, and to no other.

    Parameters
    ----------
    client : MlflowClient
        Of the database that holds the models.
    experiment : str
        Name of the experiment.
    report : Report
        The newest comparison.
    compared : mapping
        Run of each candidate, from `mark_latest`.
    """
    first = report.ranked[0][0]
    names = {model_name(experiment, candidate) for candidate in report.candidates}
    for name in names:
        for model in client.search_registered_models(f"name = '{name}'"):
            if CHAMPION in model.aliases:
                client.delete_registered_model_alias(name, CHAMPION)
    run = compared.get(_key(first))
    name = model_name(experiment, first)
    # a candidate recorded without its head has no model
    for version in client.search_model_versions(f"name = '{name}'"):
        if version.run_id == run:
            client.set_registered_model_alias(name, CHAMPION, version.version)
            return
