// The second core, as far as the first one can see it while nothing runs there: taken out of reset, it says a zero
// through the FIFO between them. MicroPython waits for that at every soft reset. rp2040js has neither.
const SECOND_CORE = 1 << 16;
const FIFO_STATUS = 0x50;
const FIFO_READ = 0x58;
const VALID = 1;
const READY = 2;
const POWER_ON = 0x40010;

export function connectSecondCore(chip) {
  let said = 0; // zeros that nobody has read yet
  const power = chip.peripherals[POWER_ON];
  const { writeUint32 } = power;
  power.writeUint32 = (offset, value) => {
    const before = power.frceOff;
    writeUint32.call(power, offset, value);
    said += before & ~power.frceOff & SECOND_CORE ? 1 : 0;
  };
  const { readUint32 } = chip.sio;
  chip.sio.readUint32 = (offset) => {
    if (offset === FIFO_STATUS) {
      return READY | (said > 0 ? VALID : 0);
    }
    if (offset === FIFO_READ) {
      said = Math.max(0, said - 1);
      return 0;
    }
    return readUint32.call(chip.sio, offset);
  };
}
