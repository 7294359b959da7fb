"""How long host and helper take for masked updates, on one core: prints a line for each.

python benchmarks/masked_sum.py --updates 10000 --parameters 10000 --bits 15

Without --bits, fields have the bits that a job file gives the fleet of masked_fleet.py.
"""

from __future__ import annotations

import argparse
import time

import masked_fleet
import numpy as np
from picofed import native


def measure(updates: int, parameters: int, bits: int) -> tuple[float, float, float]:
    """Seconds of the host (unpack and sum), of the helper (sum of masks), and of ChaCha20 over as many bytes."""
    data = native.mask_encode(np.arange(parameters, dtype=np.int32), 0, bits, bytes(32))
    summed = np.zeros(parameters, np.uint32)
    start = time.process_time()
    for _ in range(updates):
        summed += native.mask_unpack(data, parameters, bits)
    host = time.process_time() - start
    masks = np.zeros(parameters, np.uint32)
    start = time.process_time()
    for number in range(updates):
        native.mask_sum(masks, bits, number.to_bytes(32, "little"))
    helper = time.process_time() - start
    start = time.process_time()
    for _ in range(updates):
        native.chacha20(bytes(32), bytes(12), 0, data)
    return host, helper, time.process_time() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("updates", 10000), ("parameters", 10000), ("bits", masked_fleet.JOB.mask_bits)):
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen = parser.parse_args()
    print(f"a job file gives {masked_fleet.JOB.mask_bits} bits to {masked_fleet.TEXT}")
    host, helper, cipher = measure(chosen.updates, chosen.parameters, chosen.bits)
    print(f"{chosen.updates} updates of {chosen.parameters} parameters, {chosen.bits} bits each, CPU seconds:")
    print(f"host {host:.2f} (unpack and sum), helper {helper:.2f} (sum of masks), ChaCha20 alone {cipher:.2f}")


if __name__ == "__main__":
    main()
