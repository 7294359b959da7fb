"""picofed aggregate: make the next version of the updates that were collected."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from picofed.cli import common
from picofed.errors import PicofedError
from picofed.learn import jobfile
from picofed.learn.coordinator import Coordinator
from picofed.learn.preflight import check_count


@click.command(short_help="Make the next version of the updates collected so far.")
@common.job_argument
@common.site_option
@common.rounds_option
@common.epsilon_option
@common.json_option
def aggregate(job_file: Path, site: Path, rounds: int | None, epsilon: float | None, as_json: bool) -> None:
    """Make the next version of JOB of all updates in the store, without waiting for more.

    Example: picofed aggregate job.toml
    """
    job, plan = jobfile.load(job_file, rounds=rounds, epsilon=epsilon)
    with ExitStack() as end:
        store = common.existing_store(site)
        end.callback(store.close)
        end.enter_context(common.only_maker(site, job))
        registry = common.open_registry(site)
        keys = registry.update_keys()
        helper = common.open_helper(plan)
        coordinator = Coordinator(store, job, plan, keys, helper=helper)
        if coordinator.version.number >= plan.rounds:
            raise PicofedError(f"all {plan.rounds} versions of {job.name} are made already")
        if helper is not None and store.updates(job.id):  # were it away, what was collected would be lost
            waiting = {update.board for update in store.updates(job.id)}
            least = common.least_members(replace(plan, minimum=1), helper, site, registry, waiting)
            check_count(len(waiting), *least)
            coordinator.need(*least)
        if not coordinator.flush():
            raise PicofedError(f"no updates of {job.name} are waiting: `picofed collect` fetches some")
        number = coordinator.version.number
        members = store.members(job.id, number)
        if as_json:
            common.print_json({"job": job.id.hex(), "version": number, "updates": len(members)})
        else:
            click.echo(f"version {number} from {len(members)} update{'s' * (len(members) != 1)}")
