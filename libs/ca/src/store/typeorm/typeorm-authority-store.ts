import type { DataSource, Repository } from 'typeorm';
import type {
  AuthorityStore,
  GenerationRecord,
  ImportedCertificate,
  IssuerInUse,
  SignedDocument,
} from '../authority-store.js';
import { GenerationEntity, ImportedCertificateEntity, SignedDocumentEntity } from './authority.entities.js';
import { Sql } from './sql.js';
import { insertUnique, withStore } from './store-error.js';

/** More certificates of one CA than anybody needs, and few enough to try each. */
const maximumImported = 16;

/** Generations and imported certificates in SQLite or PostgreSQL. */
export class TypeOrmAuthorityStore implements AuthorityStore {
  readonly #generations: Repository<GenerationEntity>;
  readonly #imported: Repository<ImportedCertificateEntity>;
  readonly #documents: Repository<SignedDocumentEntity>;
  readonly #sql: Sql;

  constructor(dataSource: DataSource) {
    this.#generations = dataSource.getRepository(GenerationEntity);
    this.#imported = dataSource.getRepository(ImportedCertificateEntity);
    this.#documents = dataSource.getRepository(SignedDocumentEntity);
    this.#sql = new Sql(dataSource);
  }

  async addGeneration(record: GenerationRecord): Promise<boolean> {
    return insertUnique('add a generation', () => this.#generations.insert(record));
  }

  async listGenerations(): Promise<GenerationRecord[]> {
    return withStore('list generations', () => this.#generations.find({ order: { name: 'ASC', generation: 'ASC' } }));
  }

  async listIssuersInUse(now: Date): Promise<IssuerInUse[]> {
    const nextIssuer = 'SELECT min(issuer_id) AS issuer_id FROM ca_certificate WHERE issuer_id > $1';
    const lastExpiry = `SELECT not_after FROM ca_certificate WHERE issuer_id = $1 AND not_after >= $2 AND is_authority = 0
      AND state IN ('signing', 'issued') ORDER BY not_after DESC LIMIT 1`;
    return withStore('list the issuers in use', async () => {
      const found: IssuerInUse[] = [];
      // From one issuer to the next in the index: what lies between is not looked at.
      for (let issuerId = ''; ;) {
        const [{ issuer_id }] = await this.#sql.all(nextIssuer, issuerId);
        if (issuer_id === null) return found;
        issuerId = String(issuer_id);
        const [last] = await this.#sql.all(lastExpiry, issuerId, now.getTime());
        if (last !== undefined) found.push({ issuerId, notAfter: new Date(Number(last.not_after)) });
      }
    });
  }

  async import(certificate: ImportedCertificate): Promise<boolean> {
    return insertUnique('import a CA certificate', () => this.#imported.insert(certificate));
  }

  async listImported(of: Partial<ImportedCertificate>): Promise<ImportedCertificate[]> {
    const { subjectKeyId, subjectSha256 } = of;
    const where = subjectKeyId === undefined ? { subjectSha256 } : { subjectKeyId };
    return withStore('list imported CA certificates', () =>
      this.#imported.find({ where, order: { importedAt: 'DESC', sha256: 'ASC' }, take: maximumImported }),
    );
  }

  async recordDocument(document: SignedDocument): Promise<void> {
    await insertUnique('record what is to be signed', () => this.#documents.insert(document));
  }

  async listDocuments(issuerId: string): Promise<SignedDocument[]> {
    const order = { signedAt: 'ASC', sha256: 'ASC' } as const;
    return withStore('list signed documents', () => this.#documents.find({ where: { issuerId }, order }));
  }
}
