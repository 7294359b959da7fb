// The USB host: a serial port over CDC. rp2040js's own answers every poll of the device with an empty packet, so that
// the board never sleeps, and drops what is more than 512 bytes; this one keeps the device waiting until there is
// something.
import { USBCDC } from './library.mjs';

export class SerialHost extends USBCDC {
  // onBytes(Uint8Array): what the board sent
  constructor(usb, onBytes) {
    super(usb);
    this.queue = [];
    this.room = 0;
    this.onSerialData = (bytes) => {
      if (bytes.length > 0) {
        onBytes(bytes);
      }
    };
    usb.onEndpointRead = (endpoint, size) => {
      if (endpoint === this.outEndpoint) {
        this.room = size;
        this.feed();
      }
    };
  }

  write(bytes) {
    for (const byte of bytes) {
      this.queue.push(byte);
    }
    this.feed();
  }

  feed() {
    if (this.room > 0 && this.queue.length > 0) {
      const packet = Uint8Array.from(this.queue.splice(0, this.room));
      this.room = 0;
      this.usb.endpointReadDone(this.outEndpoint, packet);
    }
  }
}
