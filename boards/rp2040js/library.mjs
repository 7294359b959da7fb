// rp2040js, from where picofed.toolchain keeps it. Two of its parts are not among the package's exports.
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = process.env.PICOFED_RP2040JS;
if (!folder) {
  throw new Error('PICOFED_RP2040JS must name the unpacked npm package rp2040js');
}
const load = (file) => import(pathToFileURL(path.join(folder, 'dist', 'esm', file)).href);

export const { RP2040, USBCDC, BasePeripheral } = await load('index.js');
export const { SimulationClock } = await load('clock/simulation-clock.js');
