/** Metric points as tables of rounds and parties: what a chart draws, and what its table shows. */
import type { IPoint } from '../tokens';
import { allParties } from '../display/colours';

/** One metric by round (rows) and party (columns). */
export interface IMetricTable {
  readonly name: string;
  /** Parties that reported it. */
  readonly parties: readonly string[];
  /** Increasing. Where no point has a round, these are the points' places from 1. */
  readonly rounds: readonly number[];
  /** What `rounds` counts. */
  readonly by: 'round' | 'point';
  /** values[party][round]: the party's last value in that round; null where it reported none, NaN where that was no number. */
  readonly values: readonly (readonly (number | null)[])[];
  /** A share between 0 and 1, better read as per cent. */
  readonly share: boolean;
}

/** One table per metric: losses first, then accuracies, then the user's own in the order of their appearance. */
export function metricTables(points: readonly IPoint[], parties: readonly string[]): IMetricTable[] {
  const byName = new Map<string, IPoint[]>();
  for (const point of points) {
    const found = byName.get(point.name);
    if (found) {
      found.push(point);
    } else {
      byName.set(point.name, [point]);
    }
  }
  const tables = [...byName].map(([name, found]) => metricTable(name, found, parties));
  return tables
    .map((table, index) => ({ table, index }))
    .sort((a, b) => rank(a.table.name) - rank(b.table.name) || a.index - b.index)
    .map(({ table }) => table);
}

function rank(name: string): number {
  return /loss/i.test(name) ? 0 : isAccuracy(name) ? 1 : 2;
}

function isAccuracy(name: string): boolean {
  return /(^|[^a-z])acc(uracy)?([^a-z]|$)/i.test(name);
}

function metricTable(name: string, points: readonly IPoint[], order: readonly string[]): IMetricTable {
  const columns = new Map<string, Map<number, number>>();
  const by = points.some(point => point.round !== null) ? 'round' : 'point';
  const rounds = new Set<number>();
  for (const { party, round, value } of points) {
    const number: number | null = value; // null: not a number or infinite, which JSON cannot say
    let column = columns.get(party);
    if (!column) {
      columns.set(party, (column = new Map()));
    }
    const at = by === 'point' ? column.size + 1 : round;
    if (at !== null) {
      column.set(at, number ?? NaN);
      rounds.add(at);
    }
  }
  const parties = allParties(order, columns.keys()).filter(party => columns.has(party));
  const sorted = [...rounds].sort((a, b) => a - b);
  return {
    name,
    parties,
    rounds: sorted,
    by,
    values: parties.map(party => sorted.map(round => columns.get(party)!.get(round) ?? null)),
    share: isAccuracy(name) && points.every(({ value }) => value === null || (value >= 0 && value <= 1))
  };
}

/** The last value of each party that has one. */
export function latest(table: IMetricTable): { party: string; round: number; value: number }[] {
  const found: { party: string; round: number; value: number }[] = [];
  table.parties.forEach((party, column) => {
    for (let row = table.rounds.length - 1; row >= 0; row--) {
      const value = table.values[column][row];
      if (value !== null) {
        found.push({ party, round: table.rounds[row], value });
        break;
      }
    }
  });
  return found;
}

/**
 * Least and greatest value of the vertical axis. It starts at 0 where the values come near it, so that a small change does not look
 * like a large one; shares end at 1 at most. `low` and `high` are of the values, null where there are none.
 */
export function valueRange(low: number | null, high: number | null, share = false): [number, number] {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) {
    return [0, 1];
  }
  if (low === high) {
    const room = Math.abs(low) * 0.1 || 1;
    return bounded(low - room, high + room, low, share);
  }
  const room = (high - low) * 0.06;
  const fromZero = low >= 0 && low < 0.5 * high;
  return bounded(fromZero ? 0 : low - room, high + room, low, share);
}

function bounded(from: number, to: number, low: number, share: boolean): [number, number] {
  return [low >= 0 ? Math.max(0, from) : from, share ? Math.min(1, to) : to];
}
