"""picofed report: a page that people can read, of a job that ran on this site."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from picofed import report as pages
from picofed.cli import common
from picofed.errors import PicofedError
from picofed.learn import data, jobfile
from picofed.learn.evaluate import evaluate as measure
from picofed.report import sums
from picofed.report.facts import summarise


@click.command(short_help="Draw a job's report.")
@click.argument("job_file", metavar="[JOB]", required=False, type=click.Path(path_type=Path))
@click.option("--summary", "summary_file", type=click.Path(path_type=Path), help="A summary.json instead of a job.")
@click.option("--data", "data_file", type=click.Path(path_type=Path), help="Labelled data to measure versions on.")
@common.output_option("report.html", "Where the page goes.")
@common.site_option
@common.rounds_option
@common.epsilon_option
@common.json_option
def report(
    job_file: Path | None,
    summary_file: Path | None,
    data_file: Path | None,
    output: Path,
    site: Path,
    rounds: int | None,
    epsilon: float | None,
    as_json: bool,
) -> None:
    """One HTML page of JOB as it ran on this site, or of the summary.json that a demo has left.

    Example: picofed report --summary build/demo/summary.json --output report.html
    """
    if (job_file is None) == (summary_file is None):
        raise click.UsageError("give either a job file or --summary")
    if summary_file is not None:
        summary = pages.load(summary_file)
        item = json.loads(summary_file.read_text(encoding="utf-8")) if as_json else {}
    else:
        assert job_file is not None
        item = _summarise(job_file, data_file, site, rounds, epsilon)
        summary = pages.validate(item)
    try:
        pages.write(summary, output)
    except OSError as error:
        raise PicofedError(f"cannot write {output}: {error.strerror or error}") from error
    if as_json:
        common.print_json(item)
    else:
        click.echo(f"report: {output}")


def _summarise(
    job_file: Path, data_file: Path | None, site: Path, rounds: int | None, epsilon: float | None
) -> dict[str, Any]:
    job, plan = jobfile.load(job_file, rounds=rounds, epsilon=epsilon)
    people = None if data_file is None else data.load(data_file, job)
    evaluate = None if people is None else lambda weights: measure(job, weights, people)
    store = common.existing_store(site)
    try:
        item = summarise(
            store,
            job,
            plan,
            command="picofed run",
            evaluate=evaluate,
            labels=[str(label) for label in range(job.labels)],
            held_out=tuple(people or ()),
        )
        if plan.masked:
            members = {update.board for update in store.updates(job.id, None)}
            found = sums.figures(store, job, plan, [row for row in store.boards() if row.id in members])
            item["notes"] = [
                f"Masked updates. {'. '.join(line[0].upper() + line[1:] for line in sums.words(found, plan))}."
            ]
            if math.isfinite(found.ever_sums):
                item |= {"epsilon_distributed": found.ever_sums, "honest": plan.honest}
        return item
    finally:
        store.close()
