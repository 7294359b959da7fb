"""The fleet whose masked updates are measured: its job is what a job file makes of it, bits of a field and all."""

from __future__ import annotations

from typing import Final

from picofed.learn import jobfile
from picofed.learn.job import Job

BOARDS: Final = 16
RECORDS: Final = 200  # of each board
EPSILON: Final = 8
ROUNDS: Final = 20
TEXT: Final = f"{BOARDS} boards of {RECORDS} records each, epsilon {EPSILON} in {ROUNDS} rounds"


def _job() -> Job:
    """Softmax 120-83 on averages over 5 samples: about 10,000 parameters."""
    job, _ = jobfile.parse(
        {
            "name": "masked",
            "records": {"window": 100, "labels": 83, "features": "blocks", "block": 5},
            "privacy": {"epsilon": float(EPSILON), "records": BOARDS * RECORDS, "boards": BOARDS},
            "server": {"rounds": ROUNDS, "aggregator": "fedavg", "masked": True, "helper": "https://helper"},
        }
    )
    return job


JOB: Final = _job()
