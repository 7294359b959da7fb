"""Device profiles: what a kind of board takes for a round, in seconds, joules and hours of the day.

Cycles are those of benchmarks/m0_cycles.md and, of features, boards.md (Cortex-M0+); everything else is a setting, not
a measurement: set it for your boards.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from picofed.errors import PicofedError
from picofed.learn.convolution import CHANNELS
from picofed.learn.job import Job
from picofed.learn.model import Model

LARGEST: Final = 1e15  # so that no time and no energy overflows
DAY: Final = 86400.0


class ProfileError(PicofedError):
    """A device profile that makes no sense."""


@dataclass(frozen=True)
class DeviceProfile:
    """One kind of board.

    cycles_per_example: 0: `products` times cycles_per_product. cycles_per_motion_sample, cycles_per_block_sample: of
    features, for each sample of a window (imu45; blocks, and what a convolution is slid over);
    cycles_per_filter_product: of a convolution. All records are made anew in each step. duty_cycle: the part of its
    time that it gives to training. awake_from, awake_until: hours of its day between which rounds and transfers begin
    (22 to 6 is night). dropout: the chance that a round is lost before its update is sent: it is charged all the same.
    straggler_factor: how many times as long it takes for its cycles. battery_joules: 0: mains. idle_watts count from
    the start on.
    """

    name: str = "rpi_pico"
    clock_hz: float = 125e6
    cycles_per_example: float = 0.0
    cycles_per_product: float = 7.3
    cycles_per_noise_sample: float = 1321.0
    cycles_per_motion_sample: float = 451.0
    cycles_per_block_sample: float = 90.0
    cycles_per_filter_product: float = 10.0
    link_bytes_per_second: float = 11520.0
    duty_cycle: float = 1.0
    awake_from: float = 0.0
    awake_until: float = 24.0
    dropout: float = 0.0
    straggler_factor: float = 1.0
    battery_joules: float = 0.0
    active_watts: float = 0.1
    link_watts: float = 0.1
    idle_watts: float = 0.0

    def __post_init__(self) -> None:
        numbers = [getattr(self, field.name) for field in fields(self) if field.name != "name"]
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in numbers) or not all(
            0 <= value <= LARGEST for value in numbers
        ):
            raise ProfileError(f"profile {self.name}: every setting is a number, 0 to {LARGEST:g}")
        checks = (
            (
                min(self.clock_hz, self.link_bytes_per_second) >= 1 / LARGEST,
                "clock_hz and link_bytes_per_second must be above 0",
            ),
            (1 / LARGEST <= self.duty_cycle <= 1, "duty_cycle must be above 0 and at most 1"),
            (0 <= self.dropout < 1, "dropout must be at least 0 and below 1"),
            (
                0 <= self.awake_from < 24 and 0 < self.awake_until <= 24 and self.awake_from != self.awake_until,
                "awake_from and awake_until are hours of a day, 0 to 24, and differ",
            ),
            (self.straggler_factor >= 1, "straggler_factor must be at least 1"),
        )
        for holds, text in checks:
            if not holds:
                raise ProfileError(f"profile {self.name}: {text}")

    def cycles(self, job: Job, records: int) -> float:
        """Of a round: noise, if there is any, for every trained parameter, and every record, in each step."""
        example = self.cycles_per_example or products(job.model) * self.cycles_per_product
        noise = len(job.model.trainable) * self.cycles_per_noise_sample if job.private else 0.0
        return job.steps * (noise + records * (example + self.feature_cycles(job)))

    def feature_cycles(self, job: Job) -> float:
        """Of making one record out of its window; none where records are features already."""
        if job.features == "imu45":
            return job.window * self.cycles_per_motion_sample
        if job.features not in ("blocks", "convolution"):
            return 0.0
        return job.window * self.cycles_per_block_sample + filter_products(job) * self.cycles_per_filter_product

    @property
    def always_awake(self) -> bool:
        """At any hour."""
        return (self.awake_until - self.awake_from) % 24 == 0

    def awake_at(self, when: float, shift: float = 0.0) -> float:
        """The first second from `when` on at which the board is awake; shift: how far its clock is ahead, seconds."""
        length = (self.awake_until - self.awake_from) % 24 * 3600 or DAY
        since = (when + shift - self.awake_from * 3600) % DAY
        return when if since < length else when + DAY - since


def products(model: Model) -> int:
    """Multiplications of one example: forward, backward to the first trained layer, and what is accumulated."""
    first = next(number for number, part in enumerate(model.trained) if part is not None)
    total = 0
    for number, part in enumerate(model.trained):
        matrix = model.widths[number] * model.widths[number + 1]
        total += matrix * (1 + (number > first))
        if part is not None:
            total += (part.row_end - part.row_begin) * (part.column_end - part.column_begin)
    return total


def filter_products(job: Job) -> int:
    """Multiplications of the convolutions that make one record."""
    total, channels = 0, CHANNELS
    steps = job.window // job.block if job.layers else 0
    for layer in job.layers:
        shape = layer.shape
        steps = shape.rows(steps)
        total += steps * shape.pool * shape.filters * shape.width * channels
        channels = shape.filters
    return total


def read(path: Path) -> DeviceProfile:
    """The profile in a board.toml; what its [profile] does not say, or lacks altogether, is the default. Raises
    ProfileError."""
    try:
        item: Any = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ProfileError(f"cannot read the board description {path}: {error}") from error
    table = item.get("profile", {})
    if not isinstance(table, dict):
        raise ProfileError(f"{path}: profile must be a table")
    known = [field.name for field in fields(DeviceProfile) if field.name != "name"]
    for name in table:
        if name not in known:
            raise ProfileError(f"{path}: [profile] has no setting {name!r}: it knows {', '.join(known)}")
    return DeviceProfile(str(item.get("name") or path.absolute().parent.name), **table)
