import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Timeline, TimelineRun } from './timeline.js';

const width = 960;
const left = 64;
const right = 24;
const panelHeight = 150;
const panelGap = 84;
const top = 92;
const bottom = 96;
const lowestMilliseconds = 1;
const highestMilliseconds = 10_000;
/** Of 12 px text, on average. */
const letterWidth = 6.4;

/** Readable on white and on black: an SVG in a page takes the colours that its reader prefers. */
const style = `
  text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .title { font-size: 15px; font-weight: 600; }
  .quiet { fill: #57606a; }
  .grid { stroke: #d0d7de; }
  .longest { fill: #cf222e; opacity: .75; }
  .median { fill: none; stroke: #0969da; stroke-width: 1.5; }
  .mark { stroke: #57606a; stroke-dasharray: 3 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .quiet { fill: #9198a1; }
    .grid { stroke: #3d444d; }
    .longest { fill: #ff7b72; }
    .median { stroke: #79c0ff; }
    .mark { stroke: #9198a1; }
  }`;

/** Writes a time line as `fleet-timeline.json`, and as `when-an-hsm-dies.svg`, which docs/ has a copy of. */
export function drawTimeline(timeline: Timeline, directory: string): void {
  writeFileSync(join(directory, 'fleet-timeline.json'), `${JSON.stringify(timeline)}\n`);
  writeFileSync(join(directory, 'when-an-hsm-dies.svg'), toSvg(timeline));
}

function toSvg(timeline: Timeline): string {
  const { runs, date, machine } = timeline;
  const height = top + runs.length * (panelHeight + panelGap) - panelGap + bottom;
  const from = Math.min(...runs.flatMap(({ buckets }) => buckets[0].at));
  const to = Math.max(...runs.map(({ buckets }) => buckets[buckets.length - 1].at));
  const x = (at: number): number => left + ((at - from) / (to - from)) * (width - left - right);
  const title = 'One of two HSMs freezes for four seconds while 16 callers sign';
  const bar = 'bars: the longest call that ended in each 25 ms · line: the median';
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
<style>${style}
</style>
<text class="title" x="${left}" y="24">${title}</text>
<text class="quiet" x="${left}" y="44">${bar} · time of a call, logarithmic</text>
${runs.map((run, index) => panel(run, top + index * (panelHeight + panelGap), x, timeline)).join('\n')}
<text class="quiet" x="${left}" y="${height - 16}">Measured by bench/fleet on ${date}: ${escaped(machine)}</text>
</svg>
`;
}

function panel(run: TimelineRun, y0: number, x: (at: number) => number, { bucketMilliseconds }: Timeline): string {
  const y = (milliseconds: number): number => {
    const share = Math.log(Math.max(milliseconds, lowestMilliseconds) / lowestMilliseconds);
    return y0 + panelHeight * (1 - share / Math.log(highestMilliseconds / lowestMilliseconds));
  };
  const base = y0 + panelHeight;
  const step = x(bucketMilliseconds) - x(0);
  const grid = [1, 10, 100, 1_000, 10_000].map(
    (value) => `<line class="grid" x1="${left}" x2="${width - right}" y1="${n(y(value))}" y2="${n(y(value))}"/>
<text class="quiet" x="${left - 8}" y="${n(y(value) + 4)}" text-anchor="end">${inWords(value)}</text>`,
  );
  const bars = run.buckets.map(
    ({ at, longest }) => `M${n(x(at))} ${n(base)}V${n(y(longest))}h${n(Math.max(step - 0.4, 0.6))}V${n(base)}z`,
  );
  const median = run.buckets.map(
    ({ at, median: each }, index) => `${index === 0 ? 'M' : 'L'}${n(x(at))} ${n(y(each))}`,
  );
  const calls = run.buckets.reduce((sum, bucket) => sum + bucket.calls, 0);
  const kind = run.hedged
    ? 'Calls that take long are made on the other HSM too (TLS handshakes, data keys)'
    : 'Each call is made once (issuing keys)';
  return `<text x="${left}" y="${y0 - 22}">${kind}: ${calls.toLocaleString('en')} calls, ${run.failed} failed</text>
${grid.join('\n')}
<path class="longest" d="${bars.join('')}"/>
<path class="median" d="${median.join('')}"/>
${marks(run, y0, base, x)}`;
}

/** Names that would run into each other go one line lower each. */
function marks({ marks: all }: TimelineRun, y0: number, base: number, x: (at: number) => number): string {
  const rowEnds: number[] = [];
  return all
    .map(({ name, at }) => {
      const text = `${name} (${inWords(Math.round(at))})`;
      const length = text.length * letterWidth;
      // At the right edge a name stands before its line.
      const isLast = x(at) + length > width - right;
      const start = isLast ? x(at) - 3 - length : x(at) + 3;
      let row = 0;
      while ((rowEnds[row] ?? 0) > start) row++;
      rowEnds[row] = start + length;
      return `<line class="mark" x1="${n(x(at))}" x2="${n(x(at))}" y1="${y0 - 8}" y2="${n(base + 6 + row * 14)}"/>
<text x="${n(isLast ? x(at) - 3 : start)}" y="${n(base + 14 + row * 14)}" text-anchor="${isLast ? 'end' : 'start'}">${text}</text>`;
    })
    .join('\n');
}

function inWords(milliseconds: number): string {
  return milliseconds >= 1_000 ? `${Number((milliseconds / 1_000).toPrecision(3))} s` : `${milliseconds} ms`;
}

function n(value: number): string {
  return value.toFixed(1);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
