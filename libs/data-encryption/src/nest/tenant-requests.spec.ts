import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  type INestApplication,
  Injectable,
  type MiddlewareConsumer,
  Module,
  Post,
  Query,
  UseGuards,
} from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { InjectRepository, TypeOrmModule } from '@nestjs/typeorm';
import { Registry } from 'prom-client';
import type { Repository } from 'typeorm';
import { SoftwareKek } from '../../test/software-kek.js';
import { Chart } from '../../test/typeorm/tenant-entities.js';
import { DataEncryptionError } from '../errors.js';
import { TenantContext } from '../tenant-context.js';
import { DataEncryptionModule } from './data-encryption.module.js';

const tenants = new TenantContext();

/** Knows who asks, here by a header that an application would not believe. */
@Injectable()
class ClinicGuard implements CanActivate {
  async canActivate(context: ExecutionContext): Promise<boolean> {
    const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>();
    // As one that asks a directory.
    await new Promise((resolve) => setImmediate(resolve));
    if (headers.clinic !== undefined) tenants.set(headers.clinic);
    return true;
  }
}

/** Lets nobody go on before all have come. */
class Meeting {
  #waiting: (() => void)[] = [];

  async of(count: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === count) for (const go of this.#waiting.splice(0)) go();
    });
  }
}

const meeting = new Meeting();

@UseGuards(ClinicGuard)
@Controller('charts')
class ChartController {
  constructor(@InjectRepository(Chart) private readonly charts: Repository<Chart>) {}

  @Post()
  async add(@Query('name') name: string, @Query('together') together: string): Promise<string> {
    await meeting.of(Number(together));
    const { clinic } = await this.charts.save({ clinic: tenants.current, name, email: 'same@example.org' });
    return clinic;
  }

  @Get()
  async names(@Query('together') together: string): Promise<string[]> {
    const before = tenants.current;
    await meeting.of(Number(together));
    const found = await this.charts.find({ where: { email: 'same@example.org', clinic: before } });
    return found.map(({ name }) => `${tenants.current}: ${name}`);
  }

  @Get('all')
  async all(): Promise<string> {
    return this.charts.find().then(
      (found) => `${found.length}`,
      (error: unknown) => (error instanceof DataEncryptionError ? error.code : String(error)),
    );
  }
}

const config = { hsm: new SoftwareKek(), kekLabel: 'kek', createKek: true, databaseId: 'requests' };
const encryption = DataEncryptionModule.forRoot({
  ...{ ...config, registry: new Registry() },
  tenant: () => tenants.current,
});

@Module({
  imports: [
    encryption,
    DataEncryptionModule.forFeature(encryption, {
      useFactory: () => ({ type: 'better-sqlite3', database: ':memory:', autoLoadEntities: true, synchronize: true }),
    }),
    TypeOrmModule.forFeature([Chart]),
  ],
  controllers: [ChartController],
})
class RequestsModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply((_: unknown, __: unknown, next: () => void) => tenants.run(undefined, next)).forRoutes('{*path}');
  }
}

describe('requests of tenants', () => {
  let app: INestApplication;
  let url: string;

  beforeAll(async () => {
    app = (await Test.createTestingModule({ imports: [RequestsModule] }).compile()).createNestApplication();
    await app.listen(0, '127.0.0.1');
    url = `${await app.getUrl()}/charts`;
  });
  afterAll(() => app.close());

  const ask = async (clinic: string | undefined, path: string, method = 'GET') => {
    const response = await fetch(`${url}${path}`, { method, headers: clinic === undefined ? {} : { clinic } });
    return response.text();
  };

  it('write and read with the keys of their own tenant, though all are under way at once', async () => {
    const clinics = Array.from({ length: 6 }, (_, index) => `clinic ${index}`);
    const together = `together=${clinics.length}`;
    const added = await Promise.all(clinics.map((clinic) => ask(clinic, `?name=of ${clinic}&${together}`, 'POST')));
    expect(added).toEqual(clinics);
    const found = await Promise.all(clinics.map((clinic) => ask(clinic, `?${together}`)));
    expect(found).toEqual(clinics.map((clinic) => JSON.stringify([`${clinic}: of ${clinic}`])));
    // What a condition forgets is refused; a request that nobody was recognised for is no tenant's, and reads by what rows say.
    expect(await ask('clinic 1', '/all')).toBe('ERR_DATA_TENANT_MISMATCH');
    expect(await ask(undefined, '/all')).toBe('6');
  });
});
