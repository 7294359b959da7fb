// Emulated cycles of programs: cycles.mjs ROM FLASH PROGRAM... runs MicroPython source files one after the other in the
// raw REPL. What is typed reaches the board only while it sleeps, so that the counts are the same in every run. Prints a
// line of JSON for each: file, cycles, instructions, output, error.
import fs from 'node:fs';
import { stream } from './streams.mjs';
import { Flash } from './flash.mjs';
import { Pico } from './pico.mjs';

const [rom, image, ...programs] = process.argv.slice(2);
const SLICE = 1000000;

let output = '';
const pico = new Pico({
  rom: fs.readFileSync(rom),
  flash: new Flash(image, Buffer.from('0102030405060708', 'hex')),
  newStart: () => stream('00', 0),
  onBytes: (bytes) => {
    output += Buffer.from(bytes).toString('latin1');
  },
});

// Until it waits for what nobody sends.
function settle() {
  while (pico.halted === null) {
    if (pico.run(SLICE)) {
      if (pico.sleepNanos === Infinity) {
        return;
      }
      pico.pass(Infinity);
    }
  }
  throw new Error(`the board stopped: ${pico.halted}`);
}

function type(text) {
  output = '';
  pico.serial.write(Buffer.from(text, 'latin1'));
  settle();
  return output;
}

settle();
type('\r\x03\x03');
type('\r\x01');
for (const program of programs) {
  const { cycles, instructions } = pico;
  const [printed, error] = type(`${fs.readFileSync(program, 'utf8')}\x04`).replace(/^OK/, '').split('\x04');
  console.log(
    JSON.stringify({
      file: program,
      cycles: pico.cycles - cycles,
      instructions: pico.instructions - instructions,
      output: printed,
      error,
    }),
  );
}
