import type { Verb } from '../agent/protocol.js';
import type { TrafficClass } from '../agent/traffic-class.js';

/** The class of a call whose caller does not say that anybody can ask for it. */
export function trafficClassOf(verb: Verb): TrafficClass {
  switch (verb) {
    case 'sign':
      return 'issuance';
    case 'encrypt':
    case 'decrypt':
    case 'mac':
    case 'random':
      return 'data';
    default:
      return 'management';
  }
}
