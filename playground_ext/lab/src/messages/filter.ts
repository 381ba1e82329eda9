/** Which messages somebody wants to see, and what they add up to. */
import type { IMessage } from '../tokens';
import { byName } from '../display/colours';

/** The receiver of a message that was stored once for everybody. */
export const EVERYBODY = 'all';

export interface IMessageFilter {
  /** One round; `none` for messages outside of rounds; null for all. */
  readonly round: number | 'none' | null;
  /** Sent or received by this party; null for any. */
  readonly party: string | null;
  readonly kind: string | null;
}

/** The round that a message belongs to; null outside of rounds (before the first and after the last: senders say 0). */
export function roundOf(message: IMessage): number | null {
  return message.round || null;
}

/** Its place within the round, in the sender's words; empty if it has none. */
export function stepText(message: IMessage): string {
  return message.step;
}

/** Whether it was sent before anybody watched: its time is only when it was seen. */
export function isLate(message: IMessage): boolean {
  return message.late === true;
}

export const NO_FILTER: IMessageFilter = { round: null, party: null, kind: null };

export function isEmpty(filter: IMessageFilter): boolean {
  return filter.round === null && filter.party === null && filter.kind === null;
}

export function matches(filter: IMessageFilter, message: IMessage): boolean {
  const { round, party, kind } = filter;
  return (
    (round === null || roundOf(message) === (round === 'none' ? null : round)) &&
    (party === null || message.from === party || message.to === party || (message.to === EVERYBODY && message.from !== party)) &&
    (kind === null || message.kind === kind)
  );
}

/** What one can filter by. */
export interface IChoices {
  readonly parties: string[];
  readonly kinds: string[];
  readonly rounds: number[];
  /** Whether there are messages outside of rounds. */
  readonly outside: boolean;
}

export function choices(messages: readonly IMessage[]): IChoices {
  const parties = new Set<string>();
  const kinds = new Set<string>();
  const rounds = new Set<number>();
  let outside = false;
  for (const message of messages) {
    const { from, to, kind } = message;
    const round = roundOf(message);
    parties.add(from);
    if (to !== EVERYBODY) {
      parties.add(to);
    }
    kinds.add(kind);
    if (round === null) {
      outside = true;
    } else {
      rounds.add(round);
    }
  }
  return { parties: [...parties].sort(byName), kinds: [...kinds].sort(), rounds: [...rounds].sort((a, b) => a - b), outside };
}

export interface ITotals {
  readonly count: number;
  /** Bytes. */
  readonly size: number;
  /** Mean seconds of those whose latency is known; null if none is. */
  readonly latency: number | null;
}

export function totals(messages: readonly IMessage[]): ITotals {
  let size = 0;
  let seconds = 0;
  let known = 0;
  for (const message of messages) {
    size += message.size;
    if (message.latency !== null) {
      seconds += message.latency;
      known += 1;
    }
  }
  return { count: messages.length, size, latency: known ? seconds / known : null };
}

/** What crossed from one party to another. */
export interface IBoundary {
  readonly from: string;
  readonly to: string;
  readonly kinds: readonly string[];
  readonly count: number;
  readonly size: number;
}

/** One entry per sender and receiver, in order of their names. */
export function boundaries(messages: readonly IMessage[]): IBoundary[] {
  const found = new Map<string, { from: string; to: string; kinds: Set<string>; count: number; size: number }>();
  for (const { from, to, kind, size } of messages) {
    const key = `${from}\n${to}`;
    const entry = found.get(key) ?? { from, to, kinds: new Set<string>(), count: 0, size: 0 };
    entry.kinds.add(kind);
    entry.count += 1;
    entry.size += size;
    found.set(key, entry);
  }
  return [...found.values()]
    .map(entry => ({ ...entry, kinds: [...entry.kinds].sort() }))
    .sort((a, b) => byName(a.from, b.from) || byName(a.to, b.to));
}

export type SortColumn = 'time' | 'from' | 'to' | 'kind' | 'round' | 'size' | 'latency';

export interface ISort {
  readonly column: SortColumn;
  readonly descending: boolean;
}

/** Order of being sent, by the senders' clocks; messages are read in another one, for each pair of parties has a stream of its own. */
export function byTime(a: IMessage, b: IMessage): number {
  return a.time - b.time || a.seq - b.seq;
}

/** A sorted copy; equal ones, and unknown values at the end, by time. */
export function sorted(messages: readonly IMessage[], { column, descending }: ISort): IMessage[] {
  const sign = descending ? -1 : 1;
  const copy = [...messages];
  if (column === 'time') {
    return copy.sort((a, b) => sign * byTime(a, b));
  }
  return copy.sort((a, b) => {
    const left = column === 'round' ? roundOf(a) : a[column];
    const right = column === 'round' ? roundOf(b) : b[column];
    if (left === null || right === null) {
      return left === right ? a.seq - b.seq : left === null ? 1 : -1;
    }
    const order = typeof left === 'string' ? byName(left, String(right)) : left - Number(right);
    return sign * order || a.seq - b.seq;
  });
}
