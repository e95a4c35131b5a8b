import 'reflect-metadata';
import { CaModule, CertificateAuthority, openCaDatabase } from '@nest-hsm/ca';
import type { Hsm } from '@nest-hsm/hsm';
import { type DynamicModule, Injectable, Module } from '@nestjs/common';

@Injectable()
export class DeviceEnrolment {
  constructor(private readonly authority: CertificateAuthority) {}

  /** A certificate for a device's PEM or DER request, if its name is allowed; the root is the trust anchor. */
  async enrol(csr: string): Promise<{ certificate: Buffer; issuing: Buffer; root: Buffer }> {
    const { der } = await this.authority.issue(csr, 'tls-server');
    return { certificate: der, issuing: this.authority.issuer.certificate.der, root: this.authority.root.der };
  }
}

@Module({})
export class DevicesModule {
  /** @param hsm  the token that holds the CA's keys, and nothing else */
  static async over(hsm: Hsm): Promise<DynamicModule> {
    const url = process.env.DATABASE_URL ?? 'postgres://devices@localhost/devices';
    const authority = {
      root: { label: 'root', subject: { commonName: 'Devices Root', organization: 'Example', country: 'DE' } },
      issuing: {
        label: 'issuing',
        subject: { commonName: 'Devices Issuing CA', organization: 'Example', country: 'DE' },
      },
      initialize: true,
    };
    return {
      module: DevicesModule,
      imports: [
        CaModule.forRoot({
          hsm,
          dataSource: await openCaDatabase({ type: 'postgres', url }),
          config: { authority, allowedNames: { dns: ['*.devices.example'] } },
        }),
      ],
      providers: [DeviceEnrolment],
      exports: [DeviceEnrolment],
    };
  }
}
