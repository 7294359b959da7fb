"""What has to hold before boards train under masks: a release is charged whether its sum can be had or not."""

from __future__ import annotations

from collections.abc import Sequence

from picofed.errors import PicofedError
from picofed.learn.job import Plan
from picofed.learn.unmask import About
from picofed.members import MINIMUM
from picofed.provisioning import Policy


def check_key(about: About, policies: Sequence[Policy], roster_helper: bytes, url: str) -> None:
    """Refuse a helper that cannot take the masks of these boards off. roster_helper: for boards whose policies are not
    known, b"" if it names none either. Raises PicofedError."""
    named = {policy.name: policy.helper for policy in policies if policy.helper}
    named = named or ({"the roster": roster_helper} if roster_helper else {})
    others = sorted(name for name, key in named.items() if key != about.key)
    if others:
        whose = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        raise PicofedError(
            f"the helper {url} has the key {about.key.hex()}, but {whose} must have masks for "
            f"{named[others[0]].hex()}: nothing was asked of boards"
        )


def least_members(plan: Plan, policies: Sequence[Policy], about: About | None) -> tuple[int, str]:
    """Boards that every sum needs, and what says so. about: of the helper, if there is one."""
    wanted = [(plan.honest, "honest in [server]")]
    if plan.aggregator == "fedavg":
        wanted.append((plan.minimum, "minimum in [server]"))
    wanted += [(policy.cohort, f"cohort in the policy of {policy.name}") for policy in policies]
    if about is not None:
        wanted.append((about.minimum, "the helper's minimum"))
    if plan.masks == "pairwise":
        wanted.append((MINIMUM, "pairwise masks"))
        wanted += [(policy.peers, f"peers in the policy of {policy.name}") for policy in policies]
    return max(wanted, key=lambda one: one[0])


def check_count(boards: int, least: int, why: str) -> None:
    """Refuse a run whose boards are too few for any sum. Raises PicofedError."""
    if boards < least:
        raise PicofedError(
            f"{boards} board{'s' * (boards != 1)} for a masked sum that needs {least} ({why}): "
            "nothing was asked of boards"
        )
