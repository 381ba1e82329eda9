/** Which party has which colour: the same in every view, after a reload, and in both themes. */
import { PARTY_COLOURS } from '../parties';

/**
 * Place of a party in the palette. The task's own order decides; a party that it does not name (yet) gets a place by its name, so
 * that it keeps it whatever else arrives.
 */
export function partyPlace(parties: readonly string[], party: string): number {
  const known = parties.indexOf(party);
  return (known >= 0 ? known : hash(party)) % PARTY_COLOURS;
}

/** A css colour for text, lines and swatches of a party; contrast of at least 4.5 on the backgrounds of both themes. */
export function partyColour(parties: readonly string[], party: string): string {
  return `var(${partyProperty(parties, party)})`;
}

/** The custom property that holds a party's colour: canvas cannot read `var()`. */
export function partyProperty(parties: readonly string[], party: string): string {
  return `--pg-party-${partyPlace(parties, party)}`;
}

/** Lengths of dashes and gaps in px; parties beyond the palette share a colour, and differ by this. Empty: a solid line. */
export function partyDash(parties: readonly string[], party: string): number[] {
  const known = parties.indexOf(party);
  return known < PARTY_COLOURS ? [] : known < 2 * PARTY_COLOURS ? [8, 4] : [2, 3];
}

/** The task's parties, then those that only the items name, in natural order of their names. */
export function allParties(parties: readonly string[], named: Iterable<string>): string[] {
  const others = new Set(named);
  for (const party of parties) {
    others.delete(party);
  }
  return [...parties, ...[...others].sort(byName)];
}

/** collaborator-2 before collaborator-10. */
export function byName(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

function hash(text: string): number {
  let value = 2166136261; // FNV-1a
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 16777619);
  }
  return value >>> 0;
}
