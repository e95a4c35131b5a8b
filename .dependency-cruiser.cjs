/** The arrows of docs/ARCHITECTURE.md, as a check that fails. */
const plugin = '^libs/(ca|tls-offload|data-encryption|audit)/';
module.exports = {
  forbidden: [
    {
      name: 'no-lib-imports-an-app',
      severity: 'error',
      from: { path: '^libs/' },
      to: { path: '^apps/' },
    },
    {
      name: 'no-app-imports-an-app',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'no-plugin-imports-a-sibling',
      severity: 'error',
      from: { path: plugin },
      to: { path: plugin, pathNot: '^libs/$1/' },
    },
    {
      name: 'hsm-imports-no-plugin',
      severity: 'error',
      from: { path: '^libs/hsm/' },
      to: { path: plugin },
    },
    {
      name: 'across-libs-only-through-the-index',
      comment: 'Another lib is reached by its package name, whose only door is index.ts.',
      severity: 'error',
      from: { path: '^(libs/[^/]+|apps/[^/]+)/' },
      to: { path: '^libs/[^/]+/src/', pathNot: ['^$1/', '^libs/[^/]+/src/index\\.ts$'] },
    },
    {
      name: 'inside-a-lib-never-its-own-index',
      severity: 'error',
      from: { path: '^libs/([^/]+)/src/', pathNot: '\\.spec\\.ts$' },
      to: { path: '^libs/$1/src/index\\.ts$' },
    },
    {
      name: 'the-fleet-knows-no-keyring',
      comment: 'Where a call goes is below what concerns a key on all members at once.',
      severity: 'error',
      from: { path: '^libs/hsm/src/(algorithm|key|agent|fleet)/', pathNot: '\\.spec\\.ts$' },
      to: { path: '^libs/hsm/src/keyring/' },
    },
    {
      name: 'pkcs11-is-sealed',
      comment: 'Only the agent child knows CK_* names.',
      severity: 'error',
      from: { pathNot: '^libs/hsm/src/agent/child/' },
      to: { path: '^libs/hsm/src/agent/child/pkcs11/' },
    },
    {
      name: 'the-child-is-a-process-of-its-own',
      comment: 'The application reaches the agent child through the protocol, never by import.',
      severity: 'error',
      from: { pathNot: '^libs/hsm/src/agent/child/' },
      to: { path: '^libs/hsm/src/agent/child/' },
    },
    {
      name: 'one-file-imports-the-native-binding',
      severity: 'error',
      from: { pathNot: '^libs/hsm/src/agent/child/pkcs11/native\\.ts$' },
      to: { path: 'node_modules/pkcs11js/' },
    },
    {
      name: 'nest-only-in-nest-folders',
      severity: 'error',
      from: { path: '^libs/', pathNot: ['^libs/[^/]+/src/nest/', '\\.spec\\.ts$'] },
      to: { path: 'node_modules/@nestjs/' },
    },
    {
      name: 'typeorm-only-in-typeorm-folders',
      severity: 'error',
      from: { path: '^libs/', pathNot: ['/typeorm/', '^libs/[^/]+/src/nest/', '\\.spec\\.ts$'] },
      to: { path: 'node_modules/typeorm/' },
    },
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'not-to-dev-dependency',
      severity: 'error',
      from: { path: '^(apps|libs)/', pathNot: '\\.(full-)?spec\\.ts$' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only', 'npm', 'npm-peer'] },
    },
    { name: 'not-to-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/' },
    tsPreCompilationDeps: true,
    combinedDependencies: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'default', 'types', 'node'] },
  },
};
