"""Simulated boards: what the firmware does, on the compiled core, without a process or a link.

Given the same provisioning, entropy and records, a SimulatedBoard sends the same bytes as a real board.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from picofed import accounting, masking, native, peers, records, update_head
from picofed.flash import MemoryFlash
from picofed.learn import fronts, weights
from picofed.learn.job import MODES, Job
from picofed.learn.updates import Update
from picofed.link.messages import BUDGET, BoardError, Info, SelfTest, State, Status
from picofed.link.transfer import object_id
from picofed.members import Members
from picofed.provisioning import Provision

ENTROPY_BYTES: Final = 1024  # raw bytes that the firmware harvests at boot
MTU: Final = 1 << 20


@dataclass(frozen=True)
class Examples:
    """A client's training set. features: int8 Q7, shape (n, inputs); labels: uint8, shape (n,), 255 for none; targets:
    int16 Q12, shape (n, outputs), where labels are not what is learnt."""

    features: NDArray[np.int8]
    labels: NDArray[np.uint8]
    targets: NDArray[np.int16] | None = None

    @property
    def wanted(self) -> NDArray[Any]:
        """What is learnt from the features: targets if there are any, else labels."""
        return self.labels if self.targets is None else self.targets

    @classmethod
    def from_windows(cls, windows: Sequence[tuple[NDArray[np.int16], int]], job: Job, every: bool = False) -> Examples:
        """Records of windows; those of other classes than the job's are left out, as on the board, unless `every`."""
        free = every or (job.target != "label" and not job.labels)
        known = [(samples, label) for samples, label in windows if free or label < job.labels]
        features, targets = fronts.records(job, [samples for samples, _ in known])
        return cls(features, np.array([label for _, label in known], np.uint8), targets)

    @classmethod
    def from_records(cls, store: bytes, job: Job, every: bool = False) -> Examples:
        """What a board with this record store trains on; `every`: windows of other classes too."""
        unlabelled = job.target != "label" and (every or not job.labels)
        return cls.from_windows(list(records.windows(store, job.window, job.stride, unlabelled)), job, every)


def emulated_entropy(seed: bytes, boot: int, count: int) -> bytes:
    """The first `count` bytes that an emulated board's entropy source gives in its boot-th start
    (boards/unix).
    """
    data = b""
    block = 0
    while len(data) < count:
        data += hashlib.sha256(seed + boot.to_bytes(4, "little") + block.to_bytes(4, "little")).digest()
        block += 1
    return data[:count]


@dataclass
class SimulatedBoard:
    """A board_api.BoardApi on the compiled core. private=False: the non-private baseline, which no real board
    offers.
    """

    provision: Provision
    examples: Examples
    entropy_seed: bytes | None = None  # of the emulated board that this one equals; None: the host's entropy
    first_boot: int = 0  # starts of the emulated board before this one
    name: str = ""
    _objects: dict[bytes, bytearray] = field(default_factory=dict)
    _job: Job | None = None
    _update: bytes | None = None
    _waiting: int | None = None  # version of a release that waits for a cohort
    _peer: peers.Peer | None = None
    _keys: int = 0
    _has_all: bool = False
    _unprivate: int = 0  # updates of baselines, which no ledger counts
    _trainer: Any = None

    def __post_init__(self) -> None:
        self.name = self.name or self.provision.policy.name
        self._seeds, self._flash = MemoryFlash(), MemoryFlash()
        given = self.provision
        native.Ratchet.provision(self._seeds, given.secret)
        native.Ledger.provision(self._flash, given.ledger_key, given.seq, given.spent)
        seed = self.entropy_seed
        raw = (
            emulated_entropy(seed, self.first_boot, ENTROPY_BYTES)
            if seed is not None
            else secrets.token_bytes(ENTROPY_BYTES)
        )
        self._ratchet = native.Ratchet(self._seeds, native.entropy_condition(raw), given.policy.board + bytes(8))
        self._ledger = native.Ledger(self._flash, given.ledger_key, given.policy.max_charge)

    def hello(self) -> Info:
        """See BoardApi."""
        policy = self.provision.policy
        update = self._update
        return Info(
            board=policy.board,
            name=policy.name,
            firmware="simulated",
            core=1,
            machine="simulated",
            mtu=MTU,
            heap=0,
            used=0,
            slots=len(self.examples.labels),
            seq=self._ledger.seq,
            spent=self._ledger.cumulative,
            budget=policy.budget,
            max_charge=policy.max_charge,
            generation=self._ledger.generation,
            boot=self._ratchet.boot,
            state=State.READY if update else State.IDLE,
            job=self._job.id if self._job else None,
            update=update_head.name(update) if update else None,
            update_length=len(update) if update else 0,
        )

    def put(self, ident: bytes, total: int, offset: int, data: bytes) -> list[tuple[int, int]]:
        """See BoardApi. Objects come in one piece here."""
        if offset or len(data) != total or object_id(data) != ident:
            raise BoardError(-1, "a simulated board takes whole objects")
        self._objects = dict(list(self._objects.items())[-2:]) | {ident: bytearray(data)}
        return []

    def have(self, ident: bytes, total: int) -> list[tuple[int, int]]:
        """See BoardApi."""
        return [] if ident in self._objects else [(0, total)]

    def job(self, ident: bytes) -> bytes:
        """See BoardApi."""
        job = Job.parse(bytes(self._object(ident)))
        self._job, self._has_all, self._trainer = job, False, None
        return job.id

    def _object(self, ident: bytes) -> bytearray:
        if ident not in self._objects:
            raise BoardError(-22, "no such object here")
        return self._objects[ident]

    def round(self, job: bytes, weights: bytes) -> State:
        """See BoardApi. The whole round happens here."""
        if self._job is None or self._job.id != job:
            raise BoardError(-22, "no such job here")
        if self._update is None and self._waiting is None:
            version = self._train(self._job, bytes(self._object(weights)))
            if self._job.masks:
                self._waiting = version
            else:
                self._update = self._release(self._job, version)
        return self.status().state

    def seal(self, cohort: bytes) -> State:
        """See BoardApi. The rules of SPEC 11 are the firmware's: a simulated board takes any cohort that it is in."""
        if self._waiting is None or self._job is None:
            raise BoardError(-22, "no update here waits for a cohort")
        found = peers.Cohort.parse(bytes(self._object(cohort)))
        members = Members.parse(bytes(self._object(found.members)), self.provision.owner)
        secret = masking.board_secret(self.provision.key)
        self._peer = peers.Peer(peers.Graph(found, members), self.provision.policy.board, secret)
        self._update = self._release(self._job, self._waiting)
        self._waiting = None
        return State.READY

    def reveal(self, cohort: bytes, survivors: bytes) -> bytes:
        """See BoardApi."""
        if self._peer is None or object_id(self._peer.graph.cohort.data) != cohort:
            raise BoardError(-22, "this board did not join that cohort last")
        return self._peer.reveal(survivors)

    def _train(self, job: Job, data: bytes) -> int:
        given = self.provision
        policy = given.policy
        kind, version, _, values = weights.parse(data)
        if job.masks and not policy.peers:
            raise BoardError(-21, "the policy has no peers: no masks without a helper")
        if job.mask_bits and not job.masks and not policy.helper:
            raise BoardError(-21, "the policy names no helper: no masked jobs")
        if (
            job.private
            and self._ledger.cumulative + accounting.charge(job.clip, job.log2_sigma, job.steps) > policy.budget
        ):
            raise BoardError(BUDGET, "budget used up")
        if self._trainer is None:
            self._trainer = native.Trainer(job.model.descriptor, MODES.index(job.mode))
        trainer = self._trainer
        if kind == weights.ALL:
            trainer.set_weights(values)
            self._has_all = True
        elif self._has_all:
            trainer.set_subset(values)
        else:
            raise BoardError(-22, "all weights are needed once after a start")
        for _ in range(job.steps):
            if job.private:
                key = self._ratchet.next(self._keys)
                self._keys += 1
                trainer.begin(key, job.log2_sigma, job.clip)
            else:
                trainer.begin(None, 0, 0)
            trainer.fill()
            trainer.examples(self.examples.features, self.examples.wanted)
            if job.mode == "local":
                trainer.step(job.multiplier, job.shift)
        return version

    def _release(self, job: Job, version: int) -> bytes:
        given = self.provision
        policy, trainer = given.policy, self._trainer
        nonce = b""
        if job.mask_bits:
            nonce = self._ratchet.next(self._keys)
            self._keys += 1
        seq, spent = self._charge(job)
        update = Update(
            mode=MODES.index(job.mode),
            log2_sigma=job.log2_sigma,
            seq=seq,
            version=version,
            records=len(self.examples.labels),
            clip_norm=job.clip,
            steps=job.steps,
            cumulative=spent,
            job=job.id,
            board=policy.board,
            payload=b"" if job.mask_bits else trainer.encode(job.round_shift),
        )
        if job.masks and self._peer is not None:
            bits, shift = job.mask_bits, job.round_shift
            seed = peers.self_mask(native.blake2b(b"picofed self", 32, nonce))
            fields = bytes(trainer.mask(shift, bits, seed))
            update = update.seal(self._peer.seal(nonce, bits, shift, trainer.trainable, fields))
        elif job.mask_bits:
            bits, shift = job.mask_bits, job.round_shift
            pair = masking.board_pair(given.key, policy.helper)
            update = update.mask(
                pair, nonce[:16], bits, shift, trainer.trainable, lambda seed: bytes(trainer.mask(shift, bits, seed))
            )
        return update.pack(given.update_key)

    def _charge(self, job: Job) -> tuple[int, int]:
        if not job.private:
            self._unprivate += 1
            return self._ledger.seq + self._unprivate, self._ledger.cumulative
        first = int.from_bytes(job.id[:4], "little")
        self._ledger.charge(job.clip, job.log2_sigma, job.steps, first, self.provision.policy.budget)
        return self._ledger.seq, self._ledger.cumulative

    def status(self) -> Status:
        """See BoardApi."""
        update = self._update
        if self._waiting is not None:
            return Status(State.WAITING, 1, 1, None, 0, 0, "")
        if update is None:
            return Status(State.IDLE, 0, 0, None, 0, 0, "")
        return Status(State.READY, 1, 1, update_head.name(update), len(update), 0, "")

    def get(self, update: bytes, offset: int, length: int) -> bytes:
        """See BoardApi."""
        if self._update is None or update_head.name(self._update) != update:
            raise BoardError(-22, "no such update here")
        return self._update[offset : offset + length]

    def drop(self, update: bytes) -> None:
        """See BoardApi."""
        if self._update is not None and update_head.name(self._update) == update:
            self._update = None

    def ledger(self, skip: int, count: int) -> list[bytes]:
        """See BoardApi."""
        image = bytes(self._flash.image)
        slots = [image[at : at + 32] for at in range(0, len(image), 32)]
        valid = [slot for slot in slots if slot != b"\xff" * 32]
        valid.sort(key=lambda slot: int.from_bytes(slot[4:8], "little"), reverse=True)
        return valid[skip : skip + count]

    def selftest(self) -> list[SelfTest]:
        """See BoardApi."""
        return [SelfTest("core", native.crc32(b"123456789") == 0xCBF43926, "CRC-32 check value")]

    def abandon(self) -> State:
        """See BoardApi."""
        self._update = self._waiting = None
        return State.IDLE

    def close(self) -> None:
        """See BoardApi."""
