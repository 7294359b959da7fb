"""summary.json, format 1: its types, and the check between a file and everything that draws from it.

Units: accuracies are fractions 0..1; bytes are as encoded on the wire, frames included, where links were metered;
`spent` and `budget` are ledger units of 2^-24 mu^2. An epsilon of null (or Infinity) means "no bound" and becomes
math.inf here.
epsilon_left is epsilon(budget) - epsilon(spent): spent + left is the most that a board will ever release.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from picofed.errors import PicofedError
from picofed.report.fields import HINT, Fields

FORMAT = 1


@dataclass(frozen=True)
class JobSummary:
    """What was learned. sigma of the noise is 2^log2_sigma, in the units of clip_norm."""

    name: str
    model: str
    parameters: int
    trainable: int
    clip_norm: int
    log2_sigma: int
    aggregator: str
    optimiser: str


@dataclass(frozen=True)
class VersionSummary:
    """One numbered global model. epsilon: the largest over the boards when this version was made."""

    version: int
    accuracy: float
    accuracy_nonprivate: float | None
    updates: int
    epsilon: float


@dataclass(frozen=True)
class Contribution:
    """One update that went into `version`; staleness 0: computed on the version just before it; seconds: when it came,
    since the first version; weight: what it counted."""

    version: int
    staleness: int
    seconds: float | None
    weight: float | None


@dataclass(frozen=True)
class Refusal:
    """An update that was not used. version: that it was computed on."""

    version: int
    seconds: float | None
    reason: str


@dataclass(frozen=True)
class BoardSummary:
    """One board. `board` is its id in hex."""

    name: str
    board: str
    records: int
    releases: int
    spent: int
    budget: int
    epsilon_spent: float
    epsilon_left: float
    bytes_up: int
    bytes_down: int
    state: str
    contributions: tuple[Contribution, ...]
    refused: tuple[Refusal, ...]


@dataclass(frozen=True)
class Confusion:
    """counts[true][predicted], square, one row and one column a label."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy of a whole run at a given epsilon; math.inf is the run without privacy."""

    epsilon: float
    accuracy: float
    accuracy_sd: float | None


@dataclass(frozen=True)
class PrivacySummary:
    """The sentence without which an epsilon means nothing."""

    unit: str
    adjacency: str
    mechanism: str
    trusted: str


@dataclass(frozen=True)
class Summary:
    """All numbers of a report. None: not measured."""

    format: int
    picofed: str
    command: str
    seed: int
    job: JobSummary
    boards: int
    rounds: int
    records: int
    accuracy: float | None
    accuracy_nonprivate: float | None
    accuracy_float: float | None
    accuracy_majority: float | None
    epsilon: float
    epsilon_target: float | None
    delta: float
    bytes_per_update: float | None
    bytes_per_update_float32: float | None
    bytes_down_per_round: float | None
    ram_bytes: int | None
    ram: tuple[tuple[str, int], ...]
    versions: tuple[VersionSummary, ...]
    board_list: tuple[BoardSummary, ...]
    confusion: Confusion | None
    curve: tuple[CurvePoint, ...]
    held_out: tuple[str, ...]
    privacy: PrivacySummary
    notes: tuple[str, ...]
    epsilon_distributed: float | None = None
    honest: int | None = None

    @property
    def metered(self) -> bool:
        """Whether all that went over the links was counted; else it is the updates as they are stored."""
        return self.bytes_down_per_round is not None or any(board.bytes_down for board in self.board_list)


def load(path: Path) -> Summary:
    """Read and check a summary.json. Raises PicofedError (one line) if it cannot be read or is malformed."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise PicofedError(f"cannot read {path}: {error.strerror or error}; {HINT}") from None
    except UnicodeDecodeError:
        raise PicofedError(f"{path} is not UTF-8 text; {HINT}") from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise PicofedError(f"{path} is not JSON; {HINT}") from None
    return validate(document)


def validate(obj: object) -> Summary:
    """Check a decoded summary.json and give it types.

    Optional (absent or null): the accuracies, epsilon_target, the byte counts, ram_bytes, ram, confusion, curve,
    held_out, notes, epsilon_distributed and honest (of masked jobs), accuracy_nonprivate of a version, `refused` of a
    board, seconds and weight of a contribution, accuracy_sd of a curve point. Unknown keys are ignored. Raises
    PicofedError (one line) that names the first wrong field.
    """
    top = Fields(obj, "")
    version = top.whole("format")
    if version != FORMAT:
        raise PicofedError(
            f"the summary is format {version} and this picofed reads format {FORMAT}; {HINT} of this version"
        )
    summary = Summary(
        format=version,
        picofed=top.text("picofed"),
        command=top.text("command"),
        seed=top.whole("seed", low=None),
        job=_job(top.fields("job")),
        boards=top.whole("boards"),
        rounds=top.whole("rounds"),
        records=top.whole("records"),
        accuracy=top.fraction("accuracy"),
        accuracy_nonprivate=top.fraction("accuracy_nonprivate"),
        accuracy_float=top.fraction("accuracy_float"),
        accuracy_majority=top.fraction("accuracy_majority"),
        epsilon=top.epsilon("epsilon"),
        epsilon_target=top.maybe("epsilon_target", top.number),
        delta=top.number("delta", high=1.0),
        bytes_per_update=top.maybe("bytes_per_update", top.number),
        bytes_per_update_float32=top.maybe("bytes_per_update_float32", top.number),
        bytes_down_per_round=top.maybe("bytes_down_per_round", top.number),
        ram_bytes=top.maybe("ram_bytes", top.whole),
        ram=top.sizes("ram"),
        versions=tuple(_version(f) for f in top.rows("versions", required=True)),
        board_list=tuple(_board(f) for f in top.rows("board_list", required=True)),
        confusion=_confusion(top),
        curve=tuple(_point(f) for f in top.rows("curve")),
        held_out=top.texts("held_out"),
        privacy=_privacy(top.fields("privacy")),
        notes=top.texts("notes"),
        epsilon_distributed=top.maybe("epsilon_distributed", top.number),
        honest=top.maybe("honest", top.whole),
    )
    if summary.board_list and len(summary.board_list) != summary.boards:
        raise top.wrong("board_list", f"a list of {summary.boards} boards, as `boards` says", len(summary.board_list))
    return summary


def _job(f: Fields) -> JobSummary:
    return JobSummary(
        name=f.text("name"),
        model=f.text("model"),
        parameters=f.whole("parameters"),
        trainable=f.whole("trainable"),
        clip_norm=f.whole("clip_norm"),
        log2_sigma=f.whole("log2_sigma"),
        aggregator=f.text("aggregator"),
        optimiser=f.text("optimiser"),
    )


def _version(f: Fields) -> VersionSummary:
    accuracy = f.fraction("accuracy")
    if accuracy is None:
        raise f.wrong("accuracy", "a number from 0 to 1", None)
    return VersionSummary(
        version=f.whole("version"),
        accuracy=accuracy,
        accuracy_nonprivate=f.fraction("accuracy_nonprivate"),
        updates=f.whole("updates"),
        epsilon=f.epsilon("epsilon"),
    )


def _board(f: Fields) -> BoardSummary:
    return BoardSummary(
        name=f.text("name"),
        board=f.text("board"),
        records=f.whole("records"),
        releases=f.whole("releases"),
        spent=f.whole("spent"),
        budget=f.whole("budget"),
        epsilon_spent=f.epsilon("epsilon_spent"),
        epsilon_left=f.epsilon("epsilon_left"),
        bytes_up=f.whole("bytes_up"),
        bytes_down=f.whole("bytes_down"),
        state=f.text("state"),
        contributions=tuple(
            Contribution(c.whole("version"), c.whole("staleness"), c.maybe("seconds", c.number), c.fraction("weight"))
            for c in f.rows("contributions")
        ),
        refused=tuple(
            Refusal(c.whole("version"), c.maybe("seconds", c.number), c.text("reason")) for c in f.rows("refused")
        ),
    )


def _confusion(top: Fields) -> Confusion | None:
    if top.get("confusion") is None:
        return None
    f = top.fields("confusion")
    labels = f.texts("labels")
    counts = tuple(f.wholes(row, f"counts[{i}]") for i, row in enumerate(f.items("counts")))
    if len(counts) != len(labels) or any(len(row) != len(labels) for row in counts):
        raise f.wrong("counts", f"a square of {len(labels)} rows and columns, one a label", len(counts))
    return Confusion(labels, counts) if labels else None


def _point(f: Fields) -> CurvePoint:
    accuracy = f.fraction("accuracy")
    if accuracy is None:
        raise f.wrong("accuracy", "a number from 0 to 1", None)
    epsilon = f.epsilon("epsilon")
    if epsilon <= 0:
        raise f.wrong("epsilon", "above 0, or null for a run without privacy", epsilon)
    return CurvePoint(epsilon, accuracy, f.maybe("accuracy_sd", f.number))


def _privacy(f: Fields) -> PrivacySummary:
    return PrivacySummary(
        unit=f.text("unit"),
        adjacency=f.text("adjacency"),
        mechanism=f.text("mechanism"),
        trusted=f.text("trusted"),
    )
