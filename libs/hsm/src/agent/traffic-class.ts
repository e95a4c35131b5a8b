/**
 * What a call is for. Each class that waits has its share of the sessions of a token (SessionShares), so that no flood of one of
 * them shuts the others out. In the order of their numbers on the wire.
 *
 * `interactive`: signatures that anybody on the network can ask for, of TLS handshakes. `data`: encryption, decryption (the unwrapping
 * of data keys), MACs, random bytes. `issuance`: all other signatures. `management`: finding and looking after keys, probes.
 */
export const trafficClasses = ['interactive', 'data', 'issuance', 'management'] as const;
export type TrafficClass = (typeof trafficClasses)[number];
