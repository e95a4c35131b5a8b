import 'reflect-metadata';
import { type Hsm, HsmModule, InjectHsm } from '@nest-hsm/hsm';
import { Injectable, Module, type OnModuleInit } from '@nestjs/common';

@Injectable()
export class ReceiptSigner implements OnModuleInit {
  constructor(@InjectHsm('receipts') private readonly hsm: Hsm) {}

  /** Makes the key on the token the first time. It never leaves it. */
  async onModuleInit(): Promise<void> {
    const found = await this.hsm.listKeys({ label: 'receipts' });
    if (found.length === 0) await this.hsm.generateKeyPair({ label: 'receipts', algorithm: 'ec-p256' });
  }

  /** ECDSA over SHA-256, in DER. */
  async sign(receipt: string): Promise<{ signature: Buffer; publicKey: string }> {
    const key = await this.hsm.findKey({ label: 'receipts' });
    const signature = await this.hsm.sign(key, 'ecdsa-sha256', Buffer.from(receipt));
    return { signature, publicKey: String(key.publicKey?.export({ type: 'spki', format: 'pem' })) };
  }
}

@Module({
  imports: [
    HsmModule.forRoot({
      name: 'receipts',
      members: [
        {
          module: process.env.PKCS11_MODULE ?? '/usr/lib/softhsm/libsofthsm2.so',
          token: { label: 'receipts' },
          pin: { file: process.env.PIN_FILE ?? '/run/secrets/receipts-pin' },
          moduleEnvironment: { SOFTHSM2_CONF: process.env.SOFTHSM2_CONF ?? '/etc/softhsm2.conf' },
        },
      ],
      stateDirectory: process.env.STATE_DIRECTORY ?? '/var/lib/receipts',
    }),
  ],
  providers: [ReceiptSigner],
  exports: [ReceiptSigner],
})
export class ReceiptsModule {}
