"""Bugs to plant in the core, each a changed line: by file of native/src what is replaced, and words of the finding."""

from __future__ import annotations

from collections.abc import Mapping

FILL = "pf_noise_fill(trainer->noise, (int32_t *)trainer->accumulators + trainer->filled, n);"
BUGS: dict[str, tuple[Mapping[str, tuple[str, str]], str]] = {
    "noise times 0.35": (
        {
            "trainer.c": (
                FILL,
                FILL
                + """
        for (uint32_t i = 0; i < n; i++) {
            int32_t *one = (int32_t *)trainer->accumulators + trainer->filled + i;
            *one = (int32_t)((int64_t)*one * 35 / 100);
        }""",
            )
        },
        "all canaries: mu is",
    ),
    "clipping off": (
        {"trainer.c": ("    trainer->clip_norm = clip_norm;", "    trainer->clip_norm = 0;")},
        "all canaries: mu is",
    ),
    "seed reused": (
        {
            "ratchet.c": (
                """    pf_blake2b(out, 32, ratchet->chain, 32, label, 9);
    pf_blake2b(next, 32, ratchet->chain, 32, pf_ratchet_next_label, 7);""",
                """    pf_blake2b(out, 32, ratchet->chain, 32, label, 5);
    pf_copy(next, ratchet->chain, 32);""",
            )
        },
        "noise of two releases is the same",
    ),
    "noise added after a partial release": (
        {
            "trainer.c": (
                "    trainer->filled = 0;",
                """    trainer->filled = trainer->model.trainable / 8u;
    pf_zero(trainer->accumulators, sizeof(uint32_t) * trainer->filled);""",
            )
        },
        "places 0 to 30: mu is inf",
    ),
    "clipping sees the lowest layer alone": (
        {
            "example.c": (
                "            square += pf_clip_layer(squares, trainer->layer[l].squares);",
                "            square = pf_clip_layer(squares, trainer->layer[l].squares);",
            )
        },
        "of the clipping norm",
    ),
    "clipping forgets the biases": (
        {
            "example.c": (
                "    memory->squares = squares + (layer->bias << (2u * pf_bias_shift(l == 0)));",
                "    memory->squares = squares;",
            )
        },
        "of the clipping norm",
    ),
    "ledger charges a quarter": (
        {"ledger.c": ("    divisor -= 3; ", "    divisor <<= 2, divisor -= 3; ")},
        "the ledger was not charged what its formula says",
    ),
}
