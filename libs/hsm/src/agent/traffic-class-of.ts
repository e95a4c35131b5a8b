import type { Verb } from './protocol.js';
import type { TrafficClass } from './traffic-class.js';

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

/**
 * The class that a call has in an agent: what its caller says, as far as its verb can be that. Anybody on the network may ask for
 * a signature; everything else is of its verb's own class, so that nothing gets into the share of another.
 */
export function admittedClass(verb: Verb, said: TrafficClass): TrafficClass {
  return verb === 'sign' && said === 'interactive' ? said : trafficClassOf(verb);
}
