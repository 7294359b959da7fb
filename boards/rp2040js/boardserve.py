# On the emulated Pico whose entropy is injected: tells picofed so, which then leaves the time out of its seed, so that
# runs repeat. The bits are the ring oscillator's, as on the real one.
import machine

_BIT = 0x4006001C
_CYCLES = 0x40060FFC

# A start of the interpreter: the emulator begins the stream that belongs to it.
machine.mem32[_BIT] = 0


def entropy(n):
    raw = bytearray(n)
    memory = machine.mem32
    for i in range(n):
        byte = 0
        for _ in range(8):
            byte = byte << 1 | memory[_BIT] & 1
        raw[i] = byte
    return bytes(raw)


def cycles():
    """Cycles of the processor so far, modulo 2^32: a register that only the emulator has."""
    return machine.mem32[_CYCLES]
