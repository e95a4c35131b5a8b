import { FleetProvisioner, type MemberPlan, type ProvisioningConsent } from '@nest-hsm/hsm';
import { CommandRunner, Option, SubCommand } from 'nest-commander';
import { confirmPlan } from '../confirm-plan.js';
import { CliError } from '../faults.js';
import { columns, print } from '../hsm.command.js';
import { type ProvisioningFile, readProvisioningFile } from '../token/provisioning-file.js';

interface InitOptions {
  readonly file: readonly string[];
  readonly plan?: boolean;
  readonly yes?: boolean;
  readonly reinitialise?: readonly string[];
  readonly confirm?: readonly string[];
  readonly destroyKeys?: readonly string[];
  readonly json?: boolean;
}

interface Fleet extends ProvisioningFile {
  readonly provisioner: FleetProvisioner;
  readonly plans: readonly MemberPlan[];
}

@SubCommand({
  name: 'init',
  description:
    'Makes tokens ready: initialised, PINs set, with the keys that a member needs. Says first what it would do',
})
export class FleetInitCommand extends CommandRunner {
  override setCommand(command: CommandRunner['command']): this {
    return super.setCommand(command.allowExcessArguments(false));
  }

  @Option({
    flags: '-f, --file <file>',
    description: 'a YAML file with the sections hsm and provisioning; once for each role',
    required: true,
  })
  parseFile(value: string, previous: readonly string[] = []): string[] {
    return [...previous, value];
  }

  @Option({ flags: '--plan', description: 'only say what would be done' })
  parsePlan(): boolean {
    return true;
  }

  @Option({ flags: '-y, --yes', description: 'do it without asking' })
  parseYes(): boolean {
    return true;
  }

  @Option({
    flags: '--reinitialise <member>',
    description: 'initialise its token anew though it was initialised, or was lost; can be given more than once',
  })
  parseReinitialise(value: string, previous: readonly string[] = []): string[] {
    return [...previous, value];
  }

  @Option({
    flags: '--confirm <label>',
    description:
      'the label of a token that may be initialised since the newest backup has all its keys; more than once',
  })
  parseConfirm(value: string, previous: readonly string[] = []): string[] {
    return [...previous, value];
  }

  @Option({
    flags: '--destroy-keys <label>',
    description: 'the label of a token whose keys may be lost for it; can be given more than once',
  })
  parseDestroyKeys(value: string, previous: readonly string[] = []): string[] {
    return [...previous, value];
  }

  @Option({ flags: '--json', description: 'answer with one JSON document' })
  parseJson(): boolean {
    return true;
  }

  async run(_: string[], options: InitOptions): Promise<void> {
    const { reinitialise = [], confirm: backedUp = [], destroyKeys = [] } = options;
    if (reinitialise.length > 0 && options.file.length > 1) {
      throw new CliError(
        'ERR_CLI_ARGUMENT',
        '--reinitialise: want one --file, since members of two roles may share a name',
      );
    }
    const fleets: Fleet[] = [];
    for (const file of options.file) fleets.push(await planFleet(file, { reinitialise, backedUp, destroyKeys }));
    if (options.json !== true) print(undefined, columns(planTable(fleets)), options);
    if (options.plan !== true) await carryOut(fleets, options);
    const fingerprints = options.plan === true ? [] : await fingerprintsOf(fleets);
    if (options.json === true) print({ plan: fleets.map(describe), fingerprints }, [], options);
    else if (fingerprints.length > 0) print(undefined, ['', ...columns(fingerprintTable(fingerprints))], options);
  }
}

async function carryOut(fleets: readonly Fleet[], options: InitOptions): Promise<void> {
  const lacking = fleets.filter(({ plans }) => plans.some(({ steps }) => steps.length > 0));
  if (lacking.length > 0 && options.yes !== true) await confirmPlan();
  for (const { provisioner, plans } of lacking) {
    await provisioner.carryOut(plans, (member, step) => process.stderr.write(`${member}: ${step}: done\n`));
  }
}

async function planFleet(path: string, consent: ProvisioningConsent): Promise<Fleet> {
  const file = await readProvisioningFile(path);
  const provisioner = new FleetProvisioner(file.hsm, file.provisioning, consent);
  return { ...file, provisioner, plans: await provisioner.plan() };
}

function planTable(fleets: readonly Fleet[]): string[][] {
  const rows = fleets.flatMap(({ hsm, plans }) =>
    plans.flatMap(({ member, token, replaces, steps }) => {
      const what = steps.length === 0 ? ['nothing to do'] : steps;
      const given =
        replaces === undefined ? '' : `"${replaces.label}" (serial ${replaces.serial}) and what it holds is lost`;
      return what.map((step) => [hsm.name, member, token, step, step.startsWith('initialise') ? given : '']);
    }),
  );
  return [['ROLE', 'MEMBER', 'TOKEN', 'STEP', ''], ...rows];
}

function describe({ hsm, plans }: Fleet): object {
  return { role: hsm.name, members: plans };
}

interface Fingerprint {
  readonly role: string;
  readonly member: string;
  readonly fingerprint: string;
  readonly pinned: 'yes' | 'no' | 'another one';
}

async function fingerprintsOf(fleets: readonly Fleet[]): Promise<Fingerprint[]> {
  const found: Fingerprint[] = [];
  for (const { hsm, provisioner, plans } of fleets) {
    for (const { member, fingerprint } of await provisioner.fingerprints()) {
      const known = hsm.members[plans.findIndex((plan) => plan.member === member)].fingerprint;
      const pinned = known === undefined ? 'no' : known === fingerprint ? 'yes' : 'another one';
      found.push({ role: hsm.name, member, fingerprint, pinned });
    }
  }
  return found;
}

function fingerprintTable(fingerprints: readonly Fingerprint[]): string[][] {
  const rows = fingerprints.map(({ role, member, fingerprint, pinned }) => [role, member, fingerprint, pinned]);
  return [['ROLE', 'MEMBER', 'FINGERPRINT', 'PINNED'], ...rows];
}
