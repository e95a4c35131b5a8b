/** Jest in native ESM mode, run by scripts/test.mjs with --experimental-vm-modules. Agents and apps are spawned from dist. */
const shared = {
  rootDir: '.',
  testEnvironment: 'node',
  // Wanted by Nest and by @peculiar/x509 before they load. Nothing else is loaded for every file: Nest takes half a second.
  setupFiles: ['reflect-metadata'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2023',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  moduleNameMapper: {
    '^@nest-hsm/(hsm|ca|tls-offload|data-encryption|audit)$': '<rootDir>/libs/$1/src/index.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/libs/.*/dist/', '<rootDir>/var/'],
};

export default {
  projects: [
    { ...shared, displayName: 'unit', testMatch: ['<rootDir>/{apps,libs}/*/src/**/*.spec.ts'] },
    { ...shared, displayName: 'e2e', testMatch: ['<rootDir>/test/**/*.e2e-spec.ts'] },
    { ...shared, displayName: 'fuzz', testMatch: ['<rootDir>/test/fuzz/**/*.fuzz-spec.ts'] },
    { ...shared, displayName: 'full', testMatch: ['<rootDir>/{test,libs,apps}/**/*.full-spec.ts'] },
  ],
  // Most files wait for tokens, agents and servers: two at once, and the checks beside them, keep two cores busy.
  maxWorkers: 2,
  // Tests marked concurrent start processes of their own: as many at once as a small machine has cores.
  maxConcurrency: 2,
  // Far beyond what any test takes: a slow machine is no failure. Waits for a state end sooner (test/support/eventually.ts).
  testTimeout: 180_000,
};
