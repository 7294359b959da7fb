"""What a simulated fleet learns: a Job whose inputs need not be features that boards know how to make yet."""

from __future__ import annotations

from dataclasses import dataclass

from picofed.learn.job import CLIP_NORM_MAX, LOG2_SIGMA, MODES, Job, JobError, Plan, fit_noise, fit_step
from picofed.learn.model import Model


@dataclass(frozen=True)
class Task(Job):
    """As Job, for data of any width. Boards would refuse it; the simulator trains it with the same code."""

    def __post_init__(self) -> None:
        checks = (
            (self.mode in MODES, f"mode {self.mode!r} is not known: use one of {', '.join(MODES)}"),
            (self.model.widths[-1] == self.labels, "the model must have one output for each class"),
            (self.model.loss == "softmax", "classes can only be learnt with the softmax loss"),
            (1 <= self.steps <= 4095 and (self.mode == "local" or self.steps == 1), "gradient mode has one step"),
            (0 <= self.round_shift <= 30, "round_shift must be 0 to 30"),
            (
                not self.private
                or (0 < self.clip <= CLIP_NORM_MAX and LOG2_SIGMA[0] <= self.log2_sigma <= LOG2_SIGMA[1]),
                "clip or log2_sigma is out of range",
            ),
        )
        for holds, text in checks:
            if not holds:
                raise JobError(text)


def make_task(
    name: str,
    model: Model,
    plan: Plan,
    *,
    clients: int,
    records: int,
    steps: int = 0,
    local_rate: float = 0.5,
) -> Task:
    """A task whose noise fits the plan's epsilon (None: no noise). records: of a client, on average; steps: of local
    mode, 0 for gradient mode. Raises JobError, AccountingError."""
    clip = log2_sigma = 0
    if plan.epsilon is not None:
        clip, log2_sigma = fit_noise(
            plan.epsilon,
            plan.delta,
            plan.rounds,
            steps=max(1, steps),
            records=clients * records,
            boards=clients,
            parameters=len(model.trainable),
        )
    multiplier, shift = fit_step(local_rate, max(1, records), model) if steps else (0, 0)
    return Task(
        name=name,
        model=model,
        clip=clip,
        log2_sigma=log2_sigma,
        window=1,
        stride=1,
        labels=model.widths[-1],
        mode="local" if steps else "gradient",
        steps=max(1, steps),
        round_shift=0 if steps else max(0, log2_sigma - 1),
        multiplier=multiplier,
        shift=shift,
        features="raw",
        unit="record",
    )
