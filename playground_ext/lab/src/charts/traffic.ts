/** Bytes of parties and rounds as tables, for charts and for their table. */
import type { ITraffic } from '../tokens';
import { allParties } from '../display/colours';

/** values[party][round] in bytes; null where nothing is known. */
export interface ITrafficTable {
  readonly parties: readonly string[];
  readonly rounds: readonly number[];
  readonly sent: readonly (readonly (number | null)[])[];
  readonly received: readonly (readonly (number | null)[])[];
  /** Of each party over all rounds. */
  readonly totals: readonly { readonly sent: number; readonly received: number }[];
}

export function trafficTable(items: readonly ITraffic[], order: readonly string[]): ITrafficTable {
  const named = new Set(items.map(item => item.party));
  const parties = allParties(order, named).filter(party => named.has(party));
  const rounds = [...new Set(items.map(item => item.round))].sort((a, b) => a - b);
  const at = new Map(items.map(item => [`${item.round}/${item.party}`, item]));
  const column = (party: string, what: 'sent' | 'received') => rounds.map(round => at.get(`${round}/${party}`)?.[what] ?? null);
  const sent = parties.map(party => column(party, 'sent'));
  const received = parties.map(party => column(party, 'received'));
  return {
    parties,
    rounds,
    sent,
    received,
    totals: parties.map((_, index) => ({ sent: sum(sent[index]), received: sum(received[index]) }))
  };
}

function sum(values: readonly (number | null)[]): number {
  return values.reduce<number>((total, value) => total + (value ?? 0), 0);
}
