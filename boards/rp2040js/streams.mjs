// Entropy: the streams that boards/unix/README.md defines, byte by byte.
import crypto from 'node:crypto';

function* seeded(seed, start) {
  for (let block = 0; ; block++) {
    const position = Buffer.alloc(8);
    position.writeUInt32LE(start, 0);
    position.writeUInt32LE(block, 4);
    yield* crypto.createHash('sha256').update(seed).update(position).digest();
  }
}

function* repeated(bytes) {
  for (;;) {
    yield* bytes;
  }
}

function* biased(start) {
  const source = seeded(Buffer.alloc(0), start);
  for (;;) {
    yield source.next().value | source.next().value;
  }
}

function* fromHost() {
  for (;;) {
    yield* crypto.randomBytes(1024);
  }
}

// Bytes of one start of the board. setting: undefined, a seed in hex, stuck:XX, biased or constant.
export function* stream(setting, start) {
  if (setting === undefined) {
    yield* fromHost();
  } else if (setting.startsWith('stuck:')) {
    yield* repeated([parseInt(setting.slice(6), 16)]);
  } else if (setting === 'biased') {
    yield* biased(start);
  } else if (setting === 'constant') {
    yield* repeated(crypto.createHash('sha256').update(Buffer.alloc(8)).digest());
  } else {
    yield* seeded(Buffer.from(setting, 'hex'), start);
  }
}
