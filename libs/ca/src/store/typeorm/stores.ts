import type { DataSource } from 'typeorm';
import { TypeOrmAuthorityStore } from './typeorm-authority-store.js';
import { TypeOrmApiTokenStore } from './typeorm-api-token-store.js';
import { TypeOrmCertificateSearchStore } from './typeorm-certificate-search-store.js';
import { TypeOrmCertificateStore } from './typeorm-certificate-store.js';
import { TypeOrmCrlStore } from './typeorm-crl-store.js';
import { TypeOrmExpiryStore } from './typeorm-expiry-store.js';
import { TypeOrmOcspStore } from './typeorm-ocsp-store.js';
import { TypeOrmOrderStore } from './typeorm-order-store.js';
import { TypeOrmRevocationStore } from './typeorm-revocation-store.js';

/** Every store a certificate authority needs, on one database. */
export function caStores(dataSource: DataSource): {
  readonly authorities: TypeOrmAuthorityStore;
  readonly certificates: TypeOrmCertificateStore;
  readonly crls: TypeOrmCrlStore;
  readonly expiries: TypeOrmExpiryStore;
  readonly ocsp: TypeOrmOcspStore;
  readonly revocations: TypeOrmRevocationStore;
  readonly search: TypeOrmCertificateSearchStore;
  readonly orders: TypeOrmOrderStore;
  readonly apiTokens: TypeOrmApiTokenStore;
} {
  return {
    authorities: new TypeOrmAuthorityStore(dataSource),
    certificates: new TypeOrmCertificateStore(dataSource),
    crls: new TypeOrmCrlStore(dataSource),
    expiries: new TypeOrmExpiryStore(dataSource),
    ocsp: new TypeOrmOcspStore(dataSource),
    revocations: new TypeOrmRevocationStore(dataSource),
    search: new TypeOrmCertificateSearchStore(dataSource),
    orders: new TypeOrmOrderStore(dataSource),
    apiTokens: new TypeOrmApiTokenStore(dataSource),
  };
}
