import { type CaConfig, parseCaConfig } from './config.js';
import { CaError } from './errors.js';

const sound: CaConfig = {
  authority: {
    root: { label: 'root', subject: { commonName: 'Root' } },
    issuing: { label: 'issuing', subject: { commonName: 'Issuing' } },
  },
};

test('what is left out has a safe default', () => {
  expect(parseCaConfig(sound)).toMatchObject({
    authority: {
      initialize: false,
      root: { algorithm: 'ec-p384', validityDays: 3650 },
      issuing: { algorithm: 'ec-p384', validityDays: 1825 },
    },
    nameRules: [],
    crl: { validityHours: 168 },
    ticketSeconds: 30,
  });
});

test('all faults are listed together, each with its path', () => {
  const config = {
    authority: {
      root: { label: 'same', subject: { commonName: ' spaced ', country: 'de' }, algorithm: 'dsa' },
      issuing: { label: 'same', subject: {}, nameConstraints: { permitted: { dns: ['*.a.test'] } } },
    },
    allowedNames: { dns: ['a..b', '*'], ip: ['10.0.0.0/40'] },
    publicUrl: 'https://ca.test',
    profiles: { web: { extends: 'tls-serving' }, 'tls-server': { mustStaple: true, ocsp: [] } },
    crl: { validityHours: 0 },
    surplus: true,
  };
  const faults = [/root\.subject\.commonName/, /root\.subject\.country/, /root\.algorithm/, /issuing\.subject\.commonName/, /nameConstraints\.permitted\.dns\[0\]/, /allowedNames\.dns\[0\]/, /allowedNames\.dns\[1\]/, /allowedNames\.ip\[0\]/, /profiles\.web\.extends/, /profiles\["tls-server"\]\.mustStaple/, /publicUrl/, /crl\.validityHours/, /surplus/]; // prettier-ignore
  let caught: unknown;
  try {
    parseCaConfig(config as never);
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(CaError);
  expect((caught as CaError).code).toBe('ERR_CA_CONFIG_INVALID');
  for (const fault of faults) expect((caught as CaError).message).toMatch(fault);
});

test('no CA has a key that the trail would take for a responder’s', () => {
  const { root, issuing } = sound.authority;
  const [faulty, fault] = [{ ...issuing, label: 'eu-ocsp' }, /label/];
  expect(() => parseCaConfig({ authority: { root, issuing: faulty } })).toThrow(fault);
  expect(() => parseCaConfig({ authority: { root: faulty, issuing } })).toThrow(fault);
});

test('root and issuing want keys of their own', () => {
  const { root, issuing } = sound.authority;
  expect(() => parseCaConfig({ authority: { root, issuing: { ...issuing, label: 'root' } } })).toThrow(
    'different labels',
  );
});
