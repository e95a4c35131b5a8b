// How the scripts speak: plain text, with colour only on a terminal that wants it (https://no-color.org).
const colour = process.stdout.isTTY && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
const paint = (code) => (text) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);

export const bold = paint('1');
export const dim = paint('2');
export const green = paint('32');
export const red = paint('31');
export const cyan = paint('36');

export const say = (text = '') => console.log(text);

/** `1.4 s`, `820 ms`, `3 min 12 s`. */
export function duration(milliseconds) {
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1_000).toFixed(1)} s`;
  return `${Math.floor(milliseconds / 60_000)} min ${Math.round((milliseconds % 60_000) / 1_000)} s`;
}

/** One aligned line of a set-up or a check: `  ✓ dependencies   present   12 ms`. */
export function line(mark, name, text, milliseconds) {
  const time = milliseconds === undefined ? '' : `  ${dim(duration(milliseconds))}`;
  say(`  ${mark} ${name.padEnd(17)} ${text}${time}`);
}
