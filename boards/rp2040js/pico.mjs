// A Raspberry Pi Pico: rp2040js's chip with a boot ROM, a flash that stays, entropy, resets and a serial port over USB.
import { RingOscillator } from './oscillator.mjs';
import { RP2040, SimulationClock } from './library.mjs';
import { connectSecondCore } from './second_core.mjs';
import { SerialHost } from './usb.mjs';

const ROM_BYTES = 16384;
const WATCHDOG = 0x40058;
const ROSC = 0x40060;
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

// Breakpoints of the boot ROM (bootrom/tables.S).
const ERASE = 0xf0;
const PROGRAM = 0xf1;
const BOOT_LOADER = 0xf2;
const MISSING = 0xef;
const FAULT = 0xee;

export class Pico {
  // rom: bytes; flash: a Flash; newStart(): counts a start, returns its stream of entropy; onBytes: what it sends
  constructor({ rom, flash, newStart, onBytes }) {
    this.rom = new Uint32Array(ROM_BYTES / 4);
    new Uint8Array(this.rom.buffer).set(rom);
    this.flash = flash;
    this.newStart = newStart;
    this.onBytes = onBytes;
    this.cycles = 0;
    this.instructions = 0;
    this.halted = null; // why it will never go on: 'boot loader', or what went wrong
    this.start();
  }

  // watchdog: the one of the chip before, whose reason and scratch registers outlive the reset that it caused
  start(watchdog = null) {
    this.mustReset = false;
    this.clock = new SimulationClock();
    const chip = new RP2040(this.clock);
    this.chip = chip;
    chip.logger = QUIET;
    this.flash.connect(chip);
    chip.bootrom = this.rom;
    connectSecondCore(chip);
    chip.peripherals[ROSC] = new RingOscillator(chip, this.newStart(), this.newStart, () => this.cycles);
    this.watchdog = chip.peripherals[WATCHDOG];
    if (watchdog !== null) {
      this.watchdog.reason = watchdog.reason;
      this.watchdog.scratchData = watchdog.scratchData;
    }
    this.watchdog.onWatchdogTrigger = () => {
      // An expired alarm is scheduled again at once, without end.
      this.watchdog.timer.enable = false;
      this.watchdog.alarm.enable = false;
      this.mustReset = true;
    };
    chip.onBreak = (number) => this.serve(number);
    const waiting = this.serial?.queue ?? [];
    this.serial = new SerialHost(chip.usbCtrl, (bytes) => this.onBytes(bytes));
    this.serial.queue = waiting;
    chip.core.reset();
  }

  serve(number) {
    const { core } = this.chip;
    const [a, b, c] = core.registers;
    if (core.PC >= ROM_BYTES) {
      this.halted = `breakpoint ${number} at ${core.PC.toString(16)}`;
    } else if (number === ERASE) {
      this.flash.erase(a, b);
    } else if (number === PROGRAM) {
      const data = new Uint8Array(c);
      for (let i = 0; i < c; i++) {
        data[i] = this.chip.readUint8(b + i);
      }
      this.flash.program(a, data);
    } else if (number === BOOT_LOADER) {
      this.halted = 'boot loader';
    } else if (number === MISSING) {
      this.halted = `a function that the boot ROM lacks, called from ${core.LR.toString(16)}`;
    } else {
      this.halted = number === FAULT ? 'fault in the boot ROM' : `breakpoint ${number} in the boot ROM`;
    }
  }

  // Run up to n instructions. True once the core sleeps, false if it has more to do.
  run(n) {
    const { chip, clock } = this;
    const { core } = chip;
    for (let i = 0; i < n; i++) {
      if (core.waiting) {
        return true;
      }
      const cycles = core.executeInstruction();
      this.cycles += cycles;
      this.instructions++;
      // What clock.tick() does, without its cost where nothing is due. Firmware sets the frequency while it starts.
      clock.nanosCounter += (cycles * 1e9) / chip.clkSys;
      if (clock.nextAlarm !== null && clock.nextAlarm.nanos <= clock.nanosCounter) {
        clock.tick(0);
      }
      if (this.mustReset) {
        this.start(this.watchdog);
        return false;
      }
      if (this.halted !== null) {
        return false;
      }
    }
    return false;
  }

  // How long it will sleep if nothing comes from outside; Infinity: for ever.
  get sleepNanos() {
    return this.clock.nextAlarm === null ? Infinity : this.clock.nanosToNextAlarm;
  }

  // Let time pass while it sleeps, but not beyond the next thing that happens by itself.
  pass(nanos) {
    this.clock.tick(Math.min(nanos, this.sleepNanos));
    if (this.mustReset) {
      this.start(this.watchdog);
    }
  }
}
