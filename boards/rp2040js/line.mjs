// The board's end of a serial line: the master of a pseudo-terminal, whose descriptor never blocks.
import fs from 'node:fs';

const CHUNK = 4096;
// Of a reader that is slow so much is kept; then the board stands still.
const MUCH = 65536;

export class Line {
  constructor(descriptor) {
    this.descriptor = descriptor;
    this.out = [];
    this.kept = 0;
    this.buffer = new Uint8Array(CHUNK);
    this.open = false;
    this.lastByte = -Infinity; // when, by performance.now()
  }

  send(bytes) {
    if (this.open) {
      this.lastByte = performance.now();
      this.out.push(bytes);
      this.kept += bytes.length;
    }
  }

  get full() {
    return this.kept > MUCH;
  }

  // Give what there is to the host, and return what it sent: bytes or null.
  exchange() {
    let bytes = null;
    try {
      const n = fs.readSync(this.descriptor, this.buffer, 0, CHUNK, null);
      this.open = true;
      bytes = n > 0 ? this.buffer.slice(0, n) : null;
      this.lastByte = performance.now();
    } catch (error) {
      // EIO: nobody has the port open. What was sent is lost, as without a cable.
      if (error.code !== 'EAGAIN' && error.code !== 'EIO') {
        throw error;
      }
      this.open = error.code === 'EAGAIN';
    }
    if (!this.open) {
      this.out = [];
      this.kept = 0;
    }
    while (this.out.length > 0) {
      let n = 0;
      try {
        n = fs.writeSync(this.descriptor, this.out[0]);
      } catch (error) {
        if (error.code !== 'EAGAIN') {
          throw error;
        }
        break;
      }
      this.kept -= n;
      if (n === this.out[0].length) {
        this.out.shift();
      } else {
        this.out[0] = this.out[0].subarray(n);
      }
    }
    return bytes;
  }
}
