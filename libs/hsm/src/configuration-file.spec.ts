import { z } from 'zod';
import { ConfigurationFaults, ConfigurationFile } from './configuration-file.js';

const schema = z.strictObject({
  listeners: z.array(z.strictObject({ port: z.int().max(65_535), mode: z.enum(['l4', 'l7']).default('l4') })),
  pin: z.union([z.strictObject({ file: z.string() }), z.strictObject({ command: z.array(z.string()) })]),
});

function faultsOf(text: string): readonly string[] {
  try {
    ConfigurationFile.parse(text, 'app.yaml').check(schema);
    return [];
  } catch (error) {
    if (error instanceof ConfigurationFaults) return error.faults;
    throw error;
  }
}

describe('a configuration file', () => {
  it('gives what the schema makes of it', () => {
    const parsed = ConfigurationFile.parse('listeners: [{ port: 1 }]\npin: { file: /p }\n', 'app.yaml').check(schema);
    expect(parsed).toEqual({ listeners: [{ port: 1, mode: 'l4' }], pin: { file: '/p' } });
  });

  it('has all its faults told in order, each with path, line and column', () => {
    const text = [
      'listeners:',
      '  - port: 70000',
      '  - { port: 1, mode: l5, surprise: 1 }',
      'pin: { file: 7 }',
      'x: 1',
    ];
    const faults = faultsOf(text.join('\n'));
    expect(faults.map((each) => each.split(': ', 2))).toEqual([
      ['app.yaml:2:5', 'listeners.0.port'],
      ['app.yaml:3:16', 'listeners.1.mode'],
      ['app.yaml:3:26', 'listeners.1.surprise'],
      ['app.yaml:4:8', 'pin.file'],
      ['app.yaml:5:1', 'x'],
    ]);
  });

  it.each([
    ['what is missing, by where it should be', 'listeners: []', 'app.yaml:1:1: pin: '],
    ['what is no YAML', 'listeners: [', 'app.yaml:1:13: want YAML, got: '],
    [
      'a field that is there twice',
      'listeners: []\nlisteners: []',
      'app.yaml:2:1: want YAML, got: Map keys must be unique',
    ],
    ['too much', 'x'.repeat(2_000_000), 'app.yaml:1:1: want at most'],
    [
      'aliases without end',
      `a: &a [1]\n${Array.from({ length: 9 }, (_, n) => `${'bcdefghij'[n]}: &${'bcdefghij'[n]} [${`*${'abcdefghij'[n]},`.repeat(9)}]`).join('\n')}`,
      'want fewer aliases',
    ],
  ])('tells of %s', (_what, text, fault) => {
    expect(faultsOf(text).join('\n')).toContain(fault);
  });

  it('that cannot be read says so', () => {
    expect(() => ConfigurationFile.read('/nowhere/app.yaml')).toThrow(
      /^\/nowhere\/app\.yaml: want a readable YAML file, got ENOENT/,
    );
  });
});
