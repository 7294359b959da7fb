"""What run and collect have in common: drive boards through a job and say what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from picofed.cli import common
from picofed.cli.progress import RunProgress
from picofed.errors import PicofedError
from picofed.learn import jobfile
from picofed.learn.coordinator import Coordinator
from picofed.learn.preflight import check_count
from picofed.learn.server import Server
from picofed.report import sums
from picofed.report.facts import epsilon_of_ledger, samples_a_release


def drive(
    job_file: Path,
    ports: Sequence[str],
    site: Path,
    rounds: int | None,
    epsilon: float | None,
    as_json: bool,
    aggregate: bool,
) -> None:
    """Run a job on boards. Raises PicofedError if it ends before its goal."""
    job, plan = jobfile.load(job_file, rounds=rounds, epsilon=epsilon)
    helper = common.open_helper(plan)
    members = common.open_members(plan, site)
    registry = common.open_registry(site)
    chosen = common.choose_ports(ports, registry)
    with ExitStack() as end:
        if aggregate:
            end.enter_context(common.only_maker(site, job))
        store = common.open_store(site)
        end.callback(store.close)
        with RunProgress(plan.rounds, quiet=as_json) as progress:
            coordinator = Coordinator(
                store,
                job,
                plan,
                common.update_keys(site, registry),
                progress,
                aggregate=aggregate,
                expected=len(chosen),
                helper=helper,
                members=members,
            )
            if plan.masked and aggregate and not coordinator.complete:
                here = common.boards_at(chosen, registry)
                waiting = {update.board for update in store.updates(job.id)} - here
                least = common.least_members(plan, helper, site, registry, here)
                check_count(len(chosen) + len(waiting), *least)
                coordinator.need(*least)
            Server(coordinator, common.openers(chosen, registry)).run()
        pending = len(store.updates(job.id))
        heads = store.boards()
        samples = samples_a_release(store)
        spent = [epsilon_of_ledger(board.spent, plan.delta, samples * board.seq) for board in heads]
        result = {
            "job": job.id.hex(),
            "version": coordinator.version.number,
            "rounds": plan.rounds,
            "pending_updates": pending,
            "left": coordinator.left,
            "epsilon": max(spent, default=0.0),
            "delta": plan.delta,
        }
        if plan.masked:
            found = sums.figures(store, job, plan)
            result |= {
                "epsilon_distributed": found.ever_sums,
                "epsilon_job": found.job,
                "epsilon_job_distributed": found.job_sums,
                "honest": plan.honest,
            }
        if as_json:
            common.print_json(result)
        else:
            click.echo(
                f"version {result['version']} of {plan.rounds}, "
                f"{pending} update{'s' * (pending != 1)} waiting; "
                f"largest epsilon spent: {common.epsilon_text(result['epsilon'])} at delta {plan.delta:g}"
            )
            for line in sums.words(found, plan) if plan.masked else ():
                click.echo(line)
        for board in registry:
            head = next((head for head in heads if head.id == board.provision.policy.board), None)
            if head is not None and (head.seq, head.spent) > (board.provision.seq, board.provision.spent):
                registry.saw(head.id, head.seq, head.spent)
        if aggregate and coordinator.version.number < plan.rounds:
            reasons = common.reasons(coordinator.left)
            raise PicofedError(f"stopped at version {coordinator.version.number}, no board is left: {reasons}")
        if not aggregate and not pending:
            reasons = common.reasons(coordinator.left)
            if coordinator.version.number >= plan.rounds:
                reasons = f"all {plan.rounds} versions are made already"
            raise PicofedError(f"no update was collected: {reasons or 'all boards have contributed already'}")
