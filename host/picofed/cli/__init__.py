"""The command line: one command a file, thin: parse, call, print. Errors are one line on stderr and exit
status 2.
"""

from __future__ import annotations

import sqlite3
import sys

import click

from picofed import __version__
from picofed.cli.aggregate import aggregate
from picofed.cli.audit import audit_command
from picofed.cli.bench import bench
from picofed.cli.boards import boards
from picofed.cli.budget import budget
from picofed.cli.build import build
from picofed.cli.collect import collect
from picofed.cli.demo import demo
from picofed.cli.doctor import doctor
from picofed.cli.emulate import emulate
from picofed.cli.evaluate import evaluate
from picofed.cli.flash import flash
from picofed.cli.helper import helper
from picofed.cli.moments import moments
from picofed.cli.plan import plan
from picofed.cli.pretrain import pretrain
from picofed.cli.privacy_report import privacy_report
from picofed.cli.provision import provision
from picofed.cli.report import report
from picofed.cli.run import run
from picofed.cli.selftest import selftest
from picofed.cli.simulate import simulate
from picofed.cli.subset import subset
from picofed.cli.turns import turns
from picofed.cli.weights import weights
from picofed.errors import PicofedError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="picofed")
def cli() -> None:
    """Private federated learning on microcontrollers.

    Example: picofed demo
    """


for _command in (
    aggregate,
    audit_command,
    bench,
    boards,
    budget,
    build,
    collect,
    demo,
    doctor,
    emulate,
    evaluate,
    flash,
    pretrain,
    privacy_report,
    helper,
    moments,
    plan,
    provision,
    report,
    run,
    selftest,
    simulate,
    subset,
    turns,
    weights,
):
    cli.add_command(_command)


def main() -> None:
    """Run a command; foreseeable errors become one line and their exit status."""
    status = 0
    try:
        status = cli.main(standalone_mode=False) or 0
    except PicofedError as error:
        status = _complain(str(error), error.exit_status)
    except click.exceptions.Exit as error:
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = _complain("interrupted; what was acknowledged is safe, run the command again to go on", 130)
    except click.UsageError as error:
        status = _complain(f"{error.format_message()} (try --help)", 2)
    except click.ClickException as error:
        status = _complain(error.format_message(), 2)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; so does the interpreter's complaint about it
        status = 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        status = _complain(f"{where}{error.strerror or error}", 2)
    except sqlite3.Error as error:
        status = _complain(f"the store failed: {error}", 2)
    sys.exit(status)


def _complain(text: str, status: int) -> int:
    click.echo(f"picofed: {' '.join(text.split())}", err=True)
    return status
