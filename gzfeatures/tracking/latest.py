"""Mark the runs that the newest comparison of an experiment compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from gzfeatures.report.report import Report

MOST_RUNS = 10_000
"""Most runs of an experiment that are searched for the candidates of a comparison."""


def mark_latest(client: MlflowClient, experiment_id: str, report: Report, comparison: str) -> None:
    """Tag the runs of this comparison with `latest: yes`, and earlier runs with `latest: no`."""
    wanted = {(p.approach, p.backbone, p.head or "none", str(p.seed)) for p in report.candidates}
    for run in client.search_runs(
        [experiment_id], max_results=MOST_RUNS, order_by=["attributes.start_time DESC"]
    ):
        tags = run.data.tags
        key = tuple(tags.get(name, "") for name in ("road", "backbone", "head", "seed"))
        compared = tags.get("split") == report.split.fingerprint and key in wanted
        wanted -= {key} if compared else set()
        latest = "yes" if compared or run.info.run_id == comparison else "no"
        if tags.get("latest") != latest:
            client.set_tag(run.info.run_id, "latest", latest)
