"""Batches of clients against trainers one by one, and sums of updates; on random models."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from picofed import native
from picofed.native_batch import Batch, Round, sum_vectors
from picofed.native_errors import CoreArgumentError, CoreRangeError
from picofed.reference import Loss, Model, encode_model

Models = Callable[..., Model]


@pytest.mark.parametrize("mode", list(native.Mode), ids=lambda mode: mode.name)
def test_batches_of_random_models(mode: native.Mode, rng: random.Random, random_model: Models) -> None:
    for _ in range(40):
        model = random_model(rng)
        descriptor = encode_model(model)
        batch, single = Batch(descriptor, mode), native.Trainer(descriptor, mode)
        n, rows, steps = rng.randint(1, 5), 12, 1 if mode is native.Mode.GRADIENT else rng.randint(1, 3)
        draw = np.random.default_rng(rng.randrange(2**32))
        features = draw.integers(-127, 128, (rows, model.inputs)).astype(np.int8)
        if model.loss is Loss.SOFTMAX:
            targets = draw.integers(0, model.outputs, rows).astype(np.uint8)
        else:
            targets = draw.integers(-(2**15), 2**15, (rows, model.outputs)).astype("<i2")
        weights = draw.integers(-3000, 3000, (2, single.parameters)).astype("<i2")
        keys = draw.integers(0, 256, (n, 32 * steps)).astype(np.uint8)
        clients = np.array([[rng.randrange(2), rng.randrange(6), rng.randint(0, 6)] for _ in range(n)], "<u4")
        settings = Round(
            rng.randint(6, 25), rng.randint(1, 2**20 - 1), steps, rng.randint(1, 65535), rng.randint(0, 40), 9
        )
        done = batch.run(settings, clients, weights, features, targets, keys, payloads=True)
        for k, (index, first, records) in enumerate(clients.tolist()):
            single.set_weights(weights[index])
            for step in range(steps):
                key = keys[k, 32 * step : 32 * step + 32].tobytes()
                single.begin(key, settings.log2_sigma, settings.clip_norm)
                single.fill()
                single.examples(features[first : first + records], targets[first : first + records])
                if mode is native.Mode.LOCAL:
                    single.step(settings.multiplier, settings.shift)
            payload = single.encode(settings.round_shift)
            assert done.payloads[k] == payload and done.lengths[k] == len(payload)
            assert done.values[k].tolist() == native.update_decode(payload, single.trainable).tolist()
        single.set_weights(weights[0])
        assert batch.logits(weights[0], features).tolist() == single.logits(features).tolist()


def test_arrays_that_do_not_fit_are_refused(rng: random.Random, random_model: Models) -> None:
    model = random_model(rng)
    batch = Batch(encode_model(model))
    rows = np.zeros((4, model.inputs), np.int8)
    targets = np.zeros(4, np.uint8) if model.loss is Loss.SOFTMAX else np.zeros((4, model.outputs), "<i2")
    good = {
        "clients": np.array([[0, 0, 4]], np.uint32),
        "weights": np.zeros((1, batch.parameters), np.int16),
        "features": rows,
        "targets": targets,
        "keys": np.zeros((1, 32), np.uint8),
    }
    settings = Round(10, 1000)
    batch.run(settings, **good)
    for name, bad in {
        "clients": np.array([[1, 0, 4]], np.uint32),
        "clients ": np.array([[0, 1, 4]], np.uint32),
        "clients  ": np.array([[0, 2**32 - 1, 1]], np.uint32),
        "weights": np.zeros((1, batch.parameters + 1), np.int16),
        "features": rows.astype(np.int16),
        "targets": targets[:3],
        "keys": np.zeros((1, 31), np.uint8),
    }.items():
        with pytest.raises(CoreArgumentError):
            batch.run(settings, **{**good, name.strip(): bad})
    with pytest.raises(CoreRangeError):
        batch.run(settings, **{**good, "weights": np.full((1, batch.parameters), 16384, np.int16)})


def test_sums(rng: random.Random) -> None:
    draw = np.random.default_rng(rng.randrange(2**32))
    vectors = draw.integers(-(2**31), 2**31, (9, 5000)).astype("<i4")
    wanted = vectors.sum(axis=0, dtype=np.int64)
    assert (sum_vectors(list(vectors), 5000) == wanted).all()
    assert (sum_vectors([vector.tobytes() for vector in vectors], 5000) == wanted).all()
    assert (sum_vectors([], 3) == 0).all()
    for bad in (vectors[0][:-1], vectors[0].astype(np.float32), b"abc"):
        with pytest.raises(CoreArgumentError):
            sum_vectors([bad], 5000)
