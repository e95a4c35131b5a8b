import { Module } from '@nestjs/common';
import { collectDefaultMetrics, register } from 'prom-client';
import { CaMetrics } from './ca-metrics.js';
import { JobObserver } from './job-observer.js';

@Module({
  providers: [
    {
      provide: CaMetrics,
      useFactory: () => {
        collectDefaultMetrics({ register });
        return new CaMetrics(register);
      },
    },
    JobObserver,
  ],
  exports: [CaMetrics, JobObserver],
})
export class MonitoringModule {}
