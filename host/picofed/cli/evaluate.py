"""picofed evaluate: how good a version is, on data that the operator holds."""

from __future__ import annotations

from pathlib import Path

import click

from picofed.cli import common
from picofed.learn import data, errors, jobfile
from picofed.learn.clients import Examples
from picofed.learn.evaluate import evaluate as measure
from picofed.learn.job import Job
from picofed.learn.versions import deployed
from picofed.store import Version


@click.command(short_help="Measure a version on data that you hold.")
@common.job_argument
@click.option("--data", "data_file", required=True, type=click.Path(path_type=Path), help="An .npz, .npy or .bin file.")
@click.option("--version", "number", type=click.IntRange(0), help="Which version; default: the newest.")
@common.site_option
@common.rounds_option
@common.epsilon_option
@common.json_option
def evaluate(
    job_file: Path,
    data_file: Path,
    number: int | None,
    site: Path,
    rounds: int | None,
    epsilon: float | None,
    as_json: bool,
) -> None:
    """Accuracy and confusion matrix of a version of JOB on labelled data, person by person.

    Use people who took no part: accuracy on a board's own wearer says little about the next one.

    Example: picofed evaluate job.toml --data held-out.npz
    """
    job, _ = jobfile.load(job_file, rounds=rounds, epsilon=epsilon)
    people = data.load(data_file, job, every=True)
    version = common.stored_version(site, job, number)
    if job.target != "label":
        _errors(job, version, people, as_json)
        return
    result = measure(job, deployed(version), people)
    if as_json:
        common.print_json(
            {
                "version": version.number,
                "accuracy": result.accuracy,
                "examples": result.examples,
                "by_person": result.by_person,
                "confusion": result.confusion.tolist(),
            }
        )
        return
    click.echo(f"version {version.number}: accuracy {result.accuracy:.3f} on {result.examples} examples")
    for person, accuracy in result.by_person.items():
        click.echo(f"  {person}: {accuracy:.3f}")
    click.echo("confusion (rows: true class, columns: predicted)")
    for row in result.confusion.tolist():
        click.echo("  " + " ".join(f"{count:5d}" for count in row))


def _errors(job: Job, version: Version, people: dict[str, Examples], as_json: bool) -> None:
    found = errors.measure(job, deployed(version), people)
    anomalies = any(((ex.labels >= job.labels) & (ex.labels != 255)).any() for ex in people.values())
    auc = errors.auc_of(job, deployed(version), people) if job.target == "self" and job.labels and anomalies else None
    if as_json:
        more = {} if auc is None else {"auc": auc}
        common.print_json({"version": version.number, "explained": found.explained, **vars(found), **more})
        return
    if auc is not None:
        click.echo(f"AUC {auc:.3f} for classes from {job.labels} on, which no board learns from")
    click.echo(
        f"version {version.number}: explains {found.explained:.3f} of the squared error on {found.examples} examples "
        f"({found.error:.6f} of {found.baseline:.6f})"
    )
    for person, explained in found.by_person.items():
        click.echo(f"  {person}: {explained:.3f}")
