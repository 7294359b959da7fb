// The flash chip: 2 MB in a file, written through at once, so that whatever ends this process loses nothing that was
// finished. It has a number of its own, and its power can fail half way through an operation.
import fs from 'node:fs';
import { BasePeripheral } from './library.mjs';

export const SIZE = 2 * 1024 * 1024;
export const PAGE = 256;
export const SECTOR = 4096;

const READ_UNIQUE_ID = 0x4b;
const ID_AFTER = 5; // the command and four bytes that mean nothing

const SSI_STATUS = 0x28;
const SSI_DATA = 0x60;
const TX_NOT_FULL = 2;
const TX_EMPTY = 4;
const RX_NOT_EMPTY = 8;

const CHIP_SELECT_CONTROL = 0x0c;
const OVERRIDE = 0x300;
const OVERRIDE_LOW = 0x200;

export class Flash {
  // uniqueId: 8 bytes. operations: how many page programs and sector erases from now the power fails; 0: it does not.
  constructor(path, uniqueId, operations = 0) {
    this.file = fs.openSync(path, 'r+');
    this.bytes = new Uint8Array(SIZE);
    if (fs.readSync(this.file, this.bytes, 0, SIZE, 0) !== SIZE) {
      throw new Error(`${path} is not an image of ${SIZE} bytes`);
    }
    this.uniqueId = uniqueId;
    this.operations = operations;
    this.command = [];
    this.answers = [];
    this.selected = false;
  }

  erase(offset, length) {
    for (let at = offset; at < offset + length; at += SECTOR) {
      this.operate(at, new Uint8Array(SECTOR).fill(0xff));
    }
  }

  // Programming only clears bits.
  program(offset, data) {
    for (let done = 0; done < data.length; done += PAGE) {
      const page = data.subarray(done, done + PAGE);
      this.operate(
        offset + done,
        page.map((byte, i) => byte & this.bytes[offset + done + i]),
      );
    }
  }

  operate(offset, content) {
    const last = this.operations > 0 && --this.operations === 0;
    const part = last ? content.subarray(0, content.length / 2) : content;
    this.bytes.set(part, offset);
    fs.writeSync(this.file, part, 0, part.length, offset);
    if (last) {
      process.kill(process.pid, 'SIGKILL');
    }
  }

  // Firmware talks to the chip itself only to read its number, with the chip select held by hand.
  connect(chip) {
    chip.flash = this.bytes;
    chip.flash16 = new Uint16Array(this.bytes.buffer);
    chip.flashView = new DataView(this.bytes.buffer);
    chip.peripherals[0x40018] = new ChipSelect(chip, this);
    const ssi = chip.peripherals[0x18000];
    const { readUint32, writeUint32 } = ssi;
    ssi.readUint32 = (offset) => {
      if (this.selected && offset === SSI_STATUS) {
        return TX_NOT_FULL | TX_EMPTY | (this.answers.length > 0 ? RX_NOT_EMPTY : 0);
      }
      return this.selected && offset === SSI_DATA ? (this.answers.shift() ?? 0) : readUint32.call(ssi, offset);
    };
    ssi.writeUint32 = (offset, value) => {
      if (this.selected && offset === SSI_DATA) {
        this.answers.push(this.answer(value & 0xff));
      } else {
        writeUint32.call(ssi, offset, value);
      }
    };
  }

  select(selected) {
    this.selected = selected;
    this.command = [];
    this.answers = [];
  }

  answer(byte) {
    const position = this.command.push(byte) - 1;
    return this.command[0] === READ_UNIQUE_ID ? (this.uniqueId[position - ID_AFTER] ?? 0) : 0;
  }
}

// IO_QSPI, of which only the override of the chip select matters.
class ChipSelect extends BasePeripheral {
  constructor(chip, flash) {
    super(chip, 'IO_QSPI');
    this.flash = flash;
    this.registers = new Map();
  }

  readUint32(offset) {
    return this.registers.get(offset) ?? 0;
  }

  writeUint32(offset, value) {
    this.registers.set(offset, value);
    if (offset === CHIP_SELECT_CONTROL) {
      this.flash.select((value & OVERRIDE) === OVERRIDE_LOW);
    }
  }
}
