import { describeRecovery } from '../support/recovery-suite.js';

describeRecovery('gate');
