import type { KeySelector } from '../agent/protocol.js';
import type { KeyDescription } from './key.js';

export function formatKeyUri(_key: KeyDescription, _token: string): string {
  throw new Error('not yet');
}
export function parseKeyUri(_uri: string): KeySelector {
  throw new Error('not yet');
}
