// The emulator's program: board.mjs ROM FLASH STATE. Settings come in the environment (README.md).
import fs from 'node:fs';
import path from 'node:path';
import { stream } from './streams.mjs';
import { Flash } from './flash.mjs';
import { Line } from './line.mjs';
import { Pico } from './pico.mjs';

const [rom, image, state] = process.argv.slice(2);
const settings = process.env;

const SLICE = 20000; // instructions between two looks at the line
const NAP_MS = 1; // how long a sleep of the board takes here at most
const LONG_NAP_MS = 10; // the same once nothing has happened for so many sleeps:
const QUIET_SLEEPS = 200;
// For so long after the last byte on the line a sleep takes its own time: the board may be waiting for an answer.
const TALK_MS = 2000;

const clock = new Int32Array(new SharedArrayBuffer(4));
const pause = (ms) => Atomics.wait(clock, 0, 0, ms);

// Nobody who started it is left: the signal that ends an orphan could have come before it was asked for.
if (process.ppid !== Number(settings.PICOFED_PARENT)) {
  process.exit(1);
}

function newStart() {
  const counter = path.join(state, 'boots');
  let start = 0;
  try {
    start = Number(fs.readFileSync(counter, 'utf8'));
  } catch (error) {
    if (error.code !== 'ENOENT') {
      throw error;
    }
  }
  fs.writeFileSync(counter, String(start + 1));
  return stream(settings.PICOFED_ENTROPY_SEED, start);
}

const line = new Line(Number(settings.PICOFED_LINE));
const flash = new Flash(image, Buffer.from(settings.PICOFED_BOARD_ID, 'hex'), Number(settings.PICOFED_POWER_CUT ?? 0));
const pico = new Pico({ rom: fs.readFileSync(rom), flash, newStart, onBytes: (bytes) => line.send(bytes) });

let quiet = 0;
while (pico.halted === null) {
  const bytes = line.exchange();
  if (bytes !== null) {
    hear(bytes);
  }
  if (line.full) {
    pause(NAP_MS);
  } else if (pico.run(SLICE)) {
    sleep();
  }
}

function hear(bytes) {
  pico.serial.write(bytes);
  quiet = 0;
}

function sleep() {
  const end = pico.sleepNanos / 1e6;
  const began = performance.now();
  const talking = began - line.lastByte < TALK_MS;
  const nap = quiet++ < QUIET_SLEEPS ? NAP_MS : LONG_NAP_MS;
  const ms = Math.min(end, talking ? TALK_MS : nap);
  for (;;) {
    const bytes = line.exchange();
    const waited = performance.now() - began;
    if (bytes !== null) {
      pico.pass(talking ? waited * 1e6 : 0);
      hear(bytes);
      return;
    }
    if (waited >= ms) {
      break;
    }
    pause(Math.min(NAP_MS, ms - waited));
  }
  if (end !== Infinity) {
    pico.pass(end * 1e6);
  }
}

line.exchange();
if (pico.halted !== 'boot loader') {
  console.error(`the board stopped: ${pico.halted}`);
  process.exit(1);
}
fs.writeFileSync(path.join(state, 'boot-loader'), '');
