import { textOf } from './printable.js';

it('shows what a label has that would drive a terminal, and takes no word of it', () => {
  // It clears a terminal, goes back in the line and has what follows read from right to left.
  const lines = ['destroyed \u001b[2J\rkek\u202e', '-----BEGIN\n-----END'];
  expect(textOf(lines)).toBe('destroyed \\u{1b}[2J\\u{d}kek\\u{202e}\n-----BEGIN\n-----END\n');
});
