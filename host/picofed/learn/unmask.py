"""The host's side of mode H (SPEC 10.5, 10.7): the sum of masked updates, and the helper that takes the masks off."""

from __future__ import annotations

import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from picofed.errors import PicofedError
from picofed.helper.address import check_address
from picofed.helper.request import BOARD, BODY_MAX, Request, parse_about, parse_answer
from picofed.learn import registry
from picofed.learn.aggregators import Aggregator, Buffered, Contribution
from picofed.learn.job import Job, JobError, Plan
from picofed.learn.sums import UNIT
from picofed.learn.variance import Noise
from picofed.masking import COHORT_MIN, WEIGHT_MAX, MaskError, weights_mix

PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between attempts: a helper may be starting again
TIMEOUT: Final = 30.0


class HelperLost(PicofedError):
    """No masks can be had for these updates: the helper is away, or it refuses."""


class HeaderRefused(HelperLost):
    """The helper refuses because of one board's header. board: its id."""

    def __init__(self, text: str, board: bytes) -> None:
        super().__init__(text)
        self.board = board


@dataclass(frozen=True)
class About:
    """What a helper says of itself. key: its X25519 public key; minimum: boards that a sum must at least have."""

    key: bytes
    minimum: int


class Helper(Protocol):
    """Whoever answers requests."""

    def unmask(self, request: Request) -> NDArray[np.uint32]:
        """The sum of masks, once. Raises HelperLost."""


class HttpHelper:
    """A helper by its URL. certificate: of the authority that signed the helper's, if it is not a known one."""

    def __init__(
        self,
        url: str,
        certificate: str | None = None,
        pauses: Sequence[float] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        check_address(url)
        self._url = url.rstrip("/")
        self._pauses, self._sleep = PAUSES if pauses is None else pauses, sleep
        try:
            self._tls = ssl.create_default_context(cafile=certificate)
        except (OSError, ssl.SSLError) as error:
            raise PicofedError(f"cannot use the certificate {certificate}") from error

    def about(self) -> About:
        """Who answers there. Raises HelperLost."""
        try:
            key, minimum = parse_about(self._ask(urllib.request.Request(f"{self._url}/v1/helper")))
        except MaskError as error:
            raise HelperLost(f"there is no helper at {self._url}: {error}") from error
        return About(key, minimum)

    def unmask(self, request: Request) -> NDArray[np.uint32]:
        """See Helper. The same request is repeated until there is an answer."""
        asked = urllib.request.Request(
            f"{self._url}/v1/unmask", request.body, {"Content-Type": "application/cbor"}, method="POST"
        )
        try:
            return parse_answer(request, self._ask(asked))
        except MaskError as error:
            raise HelperLost(str(error)) from error

    def _ask(self, asked: urllib.request.Request) -> bytes:
        """The answer's body. Raises HelperLost."""
        reason = ""
        for pause in (*self._pauses, None):
            try:
                with urllib.request.urlopen(asked, timeout=TIMEOUT, context=self._tls) as answer:
                    return bytes(answer.read(BODY_MAX))
            except urllib.error.HTTPError as error:
                with error:
                    text = " ".join(error.read(300).decode("utf-8", "replace").split())
                if error.code < 500:
                    blamed = error.headers.get(BOARD, "")
                    if re.fullmatch("[0-9a-f]{16}", blamed):
                        raise HeaderRefused(f"the helper refused: {text}", bytes.fromhex(blamed)) from error
                    raise HelperLost(f"the helper refused: {text}") from error
                reason = f"status {error.code}: {text}"
            except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
                reason = str(getattr(error, "reason", "") or error) or type(error).__name__
            if pause is not None:
                self._sleep(pause)
        raise HelperLost(f"the helper {self._url} does not answer ({reason})")


def whole_weights(weights: Sequence[float]) -> tuple[list[int], float]:
    """Weights as powers of two of their smallest, and that one; 0 stays 0. Raises MaskError."""
    least = min((weight for weight in weights if weight), default=0.0)
    if not least:
        raise MaskError("all weights are 0")
    whole = [weight / least for weight in weights]
    if any(w and not (w <= WEIGHT_MAX and w == int(w) and not int(w) & (int(w) - 1)) for w in whole):
        raise MaskError(f"under masks weights are 0, or powers of two within a factor of {WEIGHT_MAX} of each other")
    return [int(w) for w in whole], least


def _weights_by_age(plan: Plan, rule: Aggregator) -> list[int]:
    """The weights that updates of all accepted ages have. Raises JobError."""
    if not isinstance(rule, Buffered):
        raise JobError(f"aggregator {plan.aggregator} cannot sum masked updates: use fedavg, fedbuff or ftte")
    nothing = np.zeros(0, np.int32)
    ages = [Contribution(0, b"", rule.version - age, 1, nothing) for age in range(rule.version + 1)]
    try:
        weights, _ = whole_weights(rule.weights([update for update in ages if rule.refuse(update) is None]))
    except MaskError as error:
        raise JobError(f"{error}: use staleness constant or threshold") from error
    return [weight for weight in weights if weight]


def _all_weights(plan: Plan, noise: Noise) -> list[int]:
    oldest = min(plan.rounds, plan.max_staleness)
    return _weights_by_age(plan, registry.make(plan, oldest, 0.0, noise))


def spread_by_age(plan: Plan, noise: Noise) -> int:
    """The largest weight over the smallest that a masked plan can give. Raises JobError."""
    weights = _all_weights(plan, noise)
    return max(weights) // min(weights)


def weight_spread(job: Job, plan: Plan) -> int:
    """The same, for weights that hide the job's noise among each other. Raises JobError."""
    weights = _all_weights(plan, Noise.of(job))
    if not weights_mix(weights, job.log2_sigma, job.round_shift):
        raise JobError("with such weights by age the boards' noise does not hide each other's: lower round_shift")
    return max(weights) // min(weights)


def check_plan(job: Job, plan: Plan) -> None:
    """Refuse at once what would fail with the first version. Raises JobError."""
    if bool(job.mask_bits) != plan.masked:
        raise JobError("masked = true goes with a job that has mask_bits, and the other way round")
    if (job.masks == "pairwise") != (plan.masks == "pairwise"):
        raise JobError("masks = pairwise goes with a job whose masks are, and the other way round")
    if plan.masked:
        weight_spread(job, plan)


def without_masks(job: Job, plan: Plan) -> tuple[Job, Plan]:
    """The same for a simulation: masks cancel in every sum, so that it would learn the same with them."""
    if plan.masked:
        check_plan(job, plan)
    return replace(job, mask_bits=0, masks=""), replace(plan, masked=False, masks="helper")


class Unmasker:
    """Sums of one job's masked updates."""

    def __init__(self, job: Job, helper: Helper) -> None:
        self._job, self._helper = job, helper

    def total(self, updates: Sequence[Contribution], weights: Sequence[int]) -> NDArray[np.int64]:
        """sum_updates for masked ones, in units of 1 / UNIT. Raises HelperLost, MaskError."""
        whole, least = whole_weights([weight / UNIT for weight in weights])
        members = [(update, weight) for update, weight in zip(updates, whole, strict=True) if weight]
        if len(members) < COHORT_MIN:
            raise HelperLost("a sum of one update would show it")
        summed = np.zeros(len(updates[0].values), np.uint32)
        for update, weight in members:
            summed += update.values.view(np.uint32) << np.uint32(weight.bit_length() - 1)
        headers = [(update.header, weight) for update, weight in members if update.header is not None]
        request = Request.of(len(summed), headers)
        summed -= self._helper.unmask(request)
        return unwrap(summed, self._job) * round(least * UNIT)


def unwrap(summed: NDArray[np.uint32], job: Job) -> NDArray[np.int64]:
    """Fields modulo 2^b to what they stand for: centred, in units of 1."""
    half = 1 << job.mask_bits - 1
    fields = summed.astype(np.int64) & (2 * half - 1)
    return ((fields ^ half) - half) << job.round_shift
