import { describeKills } from '../support/ca-kills.js';

describeKills('better-sqlite3');
