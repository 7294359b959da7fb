// The ring oscillator, whose random bits are those of a stream (streams.mjs), the highest bit of a byte first. A register
// that hardware lacks counts the processor's cycles.
import { BasePeripheral } from './library.mjs';

const STATUS = 0x18;
const RANDOM_BIT = 0x1c;
const CYCLES = 0xffc;
const STABLE_AND_ENABLED = 0x80001000;

export class RingOscillator extends BasePeripheral {
  // newStart(): counts a start of the board that the emulator cannot see (a soft reset) and returns its stream.
  // cycles(): spent so far, sleep left out
  constructor(chip, bytes, newStart, cycles) {
    super(chip, 'ROSC');
    this.registers = new Map([[STATUS, STABLE_AND_ENABLED]]);
    this.newStart = newStart;
    this.cycles = cycles;
    this.begin(bytes);
    this.claimed = false;
  }

  begin(bytes) {
    this.bytes = bytes;
    this.byte = 0;
    this.left = 0;
  }

  readUint32(offset) {
    if (offset === CYCLES) {
      return this.cycles() >>> 0;
    }
    if (offset !== RANDOM_BIT) {
      return this.registers.get(offset) ?? 0;
    }
    if (this.left === 0) {
      this.byte = this.bytes.next().value;
      this.left = 8;
    }
    this.left--;
    return (this.byte >> this.left) & 1;
  }

  writeUint32(offset, value) {
    if (offset !== RANDOM_BIT) {
      this.registers.set(offset, value);
      return;
    }
    // Hardware ignores this. The emulated board's module `boardserve` does it once for each start of its interpreter.
    if (this.claimed) {
      this.begin(this.newStart());
    }
    this.claimed = true;
  }
}
