// What the machine must have beside Node.js, and how each system's package manager calls it.
import { spawnSync } from 'node:child_process';
import { Stop } from '../workspace/stop.mjs';
import { say } from '../workspace/terminal.mjs';
import { show, works } from './command.mjs';
import { findPkcs11Module } from './pkcs11-module.mjs';

/** `used for` completes the sentence that says why something is installed. */
const needs = [
  {
    name: 'SoftHSM2',
    usedFor: 'the tokens',
    present: () => findPkcs11Module() !== undefined,
    packages: { apt: 'softhsm2', dnf: 'softhsm', apk: 'softhsm', brew: 'softhsm' },
  },
  {
    name: 'python3',
    usedFor: 'node-gyp',
    present: () => works('python3'),
    packages: { apt: 'python3', dnf: 'python3', apk: 'python3', brew: 'python' },
  },
  {
    name: 'openssl',
    usedFor: 'checking certificates',
    present: () => works('openssl', ['version']),
    packages: { apt: 'openssl', dnf: 'openssl', apk: 'openssl', brew: 'openssl' },
  },
  {
    name: 'curl',
    usedFor: 'checking HTTPS',
    present: () => works('curl'),
    packages: { apt: 'curl', dnf: 'curl', apk: 'curl', brew: 'curl' },
  },
  {
    name: 'sqlite3',
    usedFor: 'reading the database',
    present: () => works('sqlite3'),
    packages: { apt: 'sqlite3', dnf: 'sqlite', apk: 'sqlite', brew: 'sqlite' },
  },
];

/** For tests alone, which say of each test that it skips for want of them: most are of the long tier. */
const longTierNeeds = [
  {
    name: 'p11-kit',
    usedFor: 'killing and freezing a remote token',
    present: () => works('p11-kit', ['server', '--help']),
    packages: { apt: 'p11-kit', dnf: 'p11-kit-server', apk: 'p11-kit-server', brew: 'p11-kit' },
  },
  {
    name: 'testssl.sh',
    usedFor: 'looking for weak TLS',
    present: () => works('testssl', ['--version']) || works('testssl.sh', ['--version']),
    packages: { apt: 'testssl.sh', dnf: 'testssl', apk: 'testssl.sh', brew: 'testssl' },
  },
  {
    name: 'sslscan',
    usedFor: 'looking for weak TLS',
    present: () => works('sslscan', ['--version']),
    packages: { apt: 'sslscan', dnf: 'sslscan', apk: 'sslscan', brew: 'sslscan' },
  },
  {
    name: 'h2load',
    usedFor: 'many requests over HTTP/2',
    present: () => works('h2load'),
    packages: { apt: 'nghttp2-client', dnf: 'nghttp2', apk: 'nghttp2', brew: 'nghttp2' },
  },
  {
    name: 'certutil',
    usedFor: 'what a browser trusts',
    present: () => works('sh', ['-c', 'command -v certutil']),
    packages: { apt: 'libnss3-tools', dnf: 'nss-tools', apk: 'nss-tools', brew: 'nss' },
  },
  {
    name: 'mariadbd',
    usedFor: 'a MariaDB server of the tests',
    present: () =>
      ['mariadbd', '/usr/sbin/mariadbd', '/usr/libexec/mariadbd'].some((path) => works(path, ['--version'])),
    // The server alone where it can be had so: Debian's mariadb-server starts one.
    packages: { apt: 'mariadb-server-core', dnf: 'mariadb-server', apk: 'mariadb', brew: 'mariadb' },
  },
  {
    name: 'chromium',
    usedFor: 'a browser before the TLS sidecar',
    present: () => works('chromium', ['--version']),
    packages: { apt: 'chromium', dnf: 'chromium', apk: 'chromium', brew: 'chromium' },
  },
];

const managers = [
  {
    id: 'apt',
    program: 'apt-get',
    // Wait for another apt-get rather than fail, and never ask.
    steps: (packages) => [
      ['update', '-q'],
      ['install', '-y', '-q', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120', ...packages],
    ],
    environment: { DEBIAN_FRONTEND: 'noninteractive' },
  },
  { id: 'dnf', program: 'dnf', steps: (packages) => [['install', '-y', ...packages]] },
  { id: 'apk', program: 'apk', steps: (packages) => [['add', ...packages]] },
  { id: 'brew', program: 'brew', steps: (packages) => [['install', ...packages]], asUser: true },
];

/**
 * Installs what is missing with the system's package manager: as it is for root, with `sudo -n` otherwise, which fails at
 * once where a password would be asked.
 * @returns the names of what is there, e.g. for the set-up's line
 * @throws {Stop} naming the command that its reader must run
 */
export function ensureSystemPackages(again = 'npm start') {
  return ensure(needs, again);
}

/**
 * The same for the long tier of the tests, one by one where not all can be had together.
 * @returns a line for what there is, or why something is not
 */
export function tryLongTierPackages() {
  const [outcome] = tryAll([longTierNeeds]);
  const isMissing = longTierNeeds.some((need) => !need.present());
  return isMissing ? tryAll(longTierNeeds.map((need) => [need])) : [outcome];
}

function tryAll(groups) {
  return groups.map((group) => {
    try {
      return ensure(group, 'npm test -- --full');
    } catch (error) {
      if (error instanceof Stop) return error.message;
      throw error;
    }
  });
}

function ensure(needed, again) {
  const missing = needed.filter((need) => !need.present());
  if (missing.length === 0)
    return `${needed.map(({ name }) => name).join(', ')} ${needed.length > 1 ? 'are' : 'is'} here`;

  const names = missing.map(({ name }) => name).join(', ');
  const manager = managers.find(({ program }) => works(program));
  if (!manager) {
    throw new Stop(
      `${names}: not on this machine, nor apt-get, dnf, apk or brew to install with: install and run ${again} again.`,
    );
  }
  const packages = missing.map((need) => need.packages[manager.id]);
  const prefix = privilege(manager);
  const byHand = [...(manager.asUser ? [] : ['sudo']), manager.program, ...manager.steps(packages).at(-1)].join(' ');
  if (prefix === undefined) {
    throw new Stop(
      `${names}: not on this machine, and this user may not install: run "${byHand}", then ${again} again.`,
    );
  }

  say(`  installing ${missing.map(({ name, usedFor }) => `${name} (for ${usedFor})`).join(', ')}:`);
  const succeeded = manager.steps(packages).map((step) => runStep(prefix, manager, step));
  const stillMissing = missing.filter((need) => !need.present()).map(({ name }) => name);
  if (!succeeded.at(-1) || stillMissing.length > 0) {
    throw new Stop(
      `${stillMissing.join(', ') || names}: could not be installed: run "${byHand}", then ${again} again.`,
    );
  }
  return `installed ${names}`;
}

function runStep(prefix, { program, environment = {} }, args) {
  // Through env(1), because sudo drops the variables of its caller.
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  return show([...prefix, ...(assignments.length > 0 ? ['env', ...assignments] : []), program, ...args]);
}

/** @returns what to put before the package manager, or undefined without the right to install */
function privilege({ asUser }) {
  if (asUser || process.getuid() === 0) return [];
  return spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0 ? ['sudo', '-n'] : undefined;
}

/**
 * The native parts (pkcs11js, the TLS addon) are compiled here, as C++20, which Node.js 24's headers ask for.
 * @throws {Stop} without a C++ compiler or make
 */
export function checkCompiler() {
  const compiler = process.env.CXX || 'c++';
  const [program, ...flags] = compiler.split(' ');
  const compiles = works(program, [...flags, '-x', 'c++', '-std=gnu++20', '-fsyntax-only', '-'], {
    input: 'int main() {}\n',
  });
  if (!compiles)
    throw new Stop(
      `C/C++ compiler: want one that knows C++20 (GCC 10 or Clang 10, or later), got none from "${compiler}": ${howToCompile()}.`,
    );
  if (!works('make')) throw new Stop(`make: want one beside the C/C++ compiler, got none: ${howToCompile()}.`);
  return `${program} and make`;
}

function howToCompile() {
  if (process.platform === 'darwin') return 'run "xcode-select --install"';
  if (works('dnf')) return 'run "sudo dnf install gcc-c++ make"';
  if (works('apk')) return 'run "sudo apk add build-base"';
  return 'run "sudo apt-get install build-essential"';
}
