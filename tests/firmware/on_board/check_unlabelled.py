# Jobs whose targets come from the window itself: each is refused for the right reason.
import struct

from check_jobs import descriptor, make
from harness import refuses
from picofed.errors import ARGUMENT, UNKNOWN
from picofed.train import Trainer

NEXT = {
    "features": "blocks",
    "block": 10,
    "target": "next",
    "horizon": 2,
    "labels": 0,
    "model": descriptor(48, 12, loss=1),
}


def test_jobs_without_labels():
    job = make(**NEXT)
    assert (job.loss, job.target, job.block, job.horizon) == (1, "next", 10, 2)
    assert (make().target, make().block, make().horizon) == ("label", 0, 0)
    assert make(features="blocks", block=25, model=descriptor(24, 7)).target == "label"
    for word, change in (
        ("multiple", {"block": 9}),
        ("multiple", {"block": 0}),
        ("horizon", {"horizon": 0}),
        ("horizon", {"horizon": 10}),
        ("horizon", {"target": "label", "labels": 12}),
        ("target", {"target": "former"}),
        ("squared", {"model": descriptor(48, 12)}),
        ("outputs", {"model": descriptor(48, 11, loss=1)}),
        ("inputs", {"model": descriptor(47, 12, loss=1)}),
        ("blocks", {"features": "imu45"}),
        ("overlap", {"stride": 99}),
        ("horizon", {"horizon": -1}),
    ):
        text = refuses(ARGUMENT, lambda change=change: make(**dict(NEXT, **change)))
        assert word in text, (word, text)


def test_scores_of_an_auto_encoder():
    """Weights of zero foretell nothing: the score is the sum of squared inputs. Without weights there is none."""
    job = make(target="self", features="blocks", block=20, model=descriptor(30, 30, loss=1))
    trainer = Trainer(job)
    window = bytearray(1200)
    refuses(UNKNOWN, trainer.score, window)
    data = struct.pack("<BBHI8s", 1, 0, 0, 0, job.id) + bytes(2 * 31 * 30)
    with open("weights.tmp", "wb") as file:
        file.write(data)
    with open("weights.tmp", "rb") as file:
        trainer.load(file, len(data))
    assert trainer.score(window) == 0
    for t in range(100):
        struct.pack_into("<h", window, 12 * t, 6400)
        struct.pack_into("<h", window, 12 * t + 2, -64)
    assert trainer.score(window) == 5 * ((100 * 32) ** 2 + 32**2)
    refuses(UNKNOWN, Trainer(make()).score, window)
