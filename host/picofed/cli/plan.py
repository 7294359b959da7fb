"""picofed plan: what noise, budget, rounds and accuracy to expect, before anything is flashed."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from picofed.cli import common
from picofed.planning import ROUNDS, explore


@click.command(short_help="Say what noise, budget, rounds and accuracy to expect of a fleet.")
@click.option("--boards", type=click.IntRange(1), required=True, help="How many boards there will be.")
@click.option("--records", type=click.IntRange(1), required=True, help="How many records each will have.")
@click.option("--epsilon", type=float, default=8.0, show_default=True, help="Each board's budget, whoever looks.")
@click.option("--delta", type=float, default=1e-5, show_default=True, help="The delta at which epsilon is stated.")
@click.option("--rounds", type=click.IntRange(1), multiple=True, help="Rounds to try; repeat for more.")
@click.option("--data", default="digits", show_default=True, help="Proxy data: digits, mnist, or a file as simulate's.")
@click.option("--hidden", type=click.IntRange(1), multiple=True, help="Width of a hidden layer; repeat for more.")
@click.option("--honest", type=click.IntRange(2), help="With masks: boards of each sum that are taken to be honest.")
@click.option(
    "--share", is_flag=True, help="Boards add only their share of the noise: --epsilon is then that of the sums."
)
@click.option("--rate", type=float, default=2.0, show_default=True, help="The server's learning rate.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Simulations to average over.")
@common.json_option
def plan(
    boards: int,
    records: int,
    epsilon: float,
    delta: float,
    rounds: tuple[int, ...],
    data: str,
    hidden: tuple[int, ...],
    honest: int | None,
    share: bool,
    rate: float,
    seeds: int,
    as_json: bool,
) -> None:
    """Simulate a fleet on proxy data for several numbers of rounds, each with the noise that spends the same budget.

    The accuracy is one of the proxy data and of records that are spread evenly: yours may differ.

    Example: picofed plan --boards 10 --records 100 --epsilon 8 --honest 5
    """
    found = explore(
        data,
        boards,
        records,
        epsilon,
        delta=delta,
        rounds=rounds or ROUNDS,
        hidden=hidden,
        honest=honest or 0,
        share=share,
        learning_rate=rate,
        seeds=seeds,
    )
    best = max(found, key=lambda choice: choice.accuracy)
    if as_json:
        common.print_json({"delta": delta, "best_rounds": best.rounds, "choices": [asdict(one) for one in found]})
        return
    table = Table(title=f"{boards} boards, {records} records each, delta {delta:g}")
    names = ["rounds", "clip_norm", "log2_sigma", "budget in units", "epsilon"]
    for column in [*names, *([f"with {honest} honest"] if honest else []), "accuracy"]:
        table.add_column(column, justify="right")
    for one in found:
        row = [str(one.rounds), str(one.clip_norm), str(one.log2_sigma), str(one.budget_units)]
        row.append(common.epsilon_text(one.epsilon))
        if one.epsilon_distributed is not None:
            row.append(common.epsilon_text(one.epsilon_distributed))
        table.add_row(*row, f"{one.accuracy:.3f}", style="bold" if one is best else "")
    Console().print(table)
    click.echo(f"best: {best.rounds} rounds; epsilon is each board's own, whoever looks at its updates")
    if honest:
        click.echo(
            f"with {honest} honest: against a host that sees masked sums only, if so many boards of each sum are "
            "honest, and the helper is and keeps what it knows from the host"
        )
    if share:
        assert honest is not None
        least = best.log2_sigma + (honest.bit_length() - 1) // 2  # as SPEC 6.7 counts it
        click.echo(
            f"boards add their share of the noise: policies with --honest {honest} --cohort {honest} (or more) "
            f"--min-log2-sigma {least} --max-clip {best.clip_norm} --releases {best.rounds} --epsilon "
            f"{common.epsilon_text(best.epsilon)} allow it; that epsilon is all that is left if the conditions fail"
        )
