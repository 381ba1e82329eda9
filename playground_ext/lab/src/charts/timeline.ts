/** Where a round's time goes: phases of parties as bars on lanes, and their sums. */
import type { IPhase } from '../tokens';
import { allParties } from '../display/colours';

export type PhaseName = IPhase['phase'];

export const PHASES: readonly PhaseName[] = ['compute', 'wait', 'transfer'];

/** A bar; x and width in px. */
export interface IBar {
  readonly x: number;
  readonly width: number;
  readonly phase: PhaseName;
  readonly round: number;
  /** Unix seconds. */
  readonly start: number;
  /** Of the phase; of the largest, where several shorter than a pixel are drawn as one. */
  readonly seconds: number;
  /** How many phases it stands for. */
  readonly count: number;
}

export interface ILane {
  readonly party: string;
  readonly bars: readonly IBar[];
}

export interface ITimelineLayout {
  readonly lanes: readonly ILane[];
  /** From the first phase of a round to its last. */
  readonly rounds: readonly { readonly round: number; readonly x: number; readonly width: number }[];
  /** Seconds since the first phase, evenly spaced. */
  readonly ticks: readonly { readonly seconds: number; readonly x: number }[];
  /** From the first start to the last end. */
  readonly seconds: number;
}

/** Sums of one party in one round, in seconds. */
export interface IPhaseSums {
  readonly party: string;
  readonly round: number;
  readonly compute: number;
  readonly wait: number;
  readonly transfer: number;
}

/** The rounds that have phases, increasing. */
export function roundsOf(phases: readonly IPhase[]): number[] {
  return [...new Set(phases.map(phase => phase.round))].sort((a, b) => a - b);
}

/** The last `count` of them; all, if it is null. */
export function newest(rounds: readonly number[], count: number | null): number[] {
  return count === null ? [...rounds] : rounds.slice(-count);
}

/** Phases on `width` px. */
export function layoutTimeline(phases: readonly IPhase[], order: readonly string[], width: number): ITimelineLayout {
  const named = new Set(phases.map(phase => phase.party));
  const parties = allParties(order, named).filter(party => named.has(party));
  const from = phases.reduce((least, phase) => Math.min(least, phase.start), Infinity);
  const to = phases.reduce((most, phase) => Math.max(most, phase.start + phase.seconds), -Infinity);
  const seconds = phases.length ? Math.max(to - from, 1e-3) : 0;
  const scale = seconds ? width / seconds : 0;
  const lanes = parties.map(party => {
    const own = phases.filter(phase => phase.party === party).sort((a, b) => a.start - b.start);
    return { party, bars: bars(own, from, scale) };
  });
  const rounds = roundsOf(phases).map(round => {
    const own = phases.filter(phase => phase.round === round);
    const first = Math.min(...own.map(phase => phase.start));
    const last = Math.max(...own.map(phase => phase.start + phase.seconds));
    return { round, x: (first - from) * scale, width: (last - first) * scale };
  });
  return { lanes, rounds, ticks: ticks(seconds, width), seconds };
}

/** Bars of one lane. What is shorter than half a pixel joins its neighbour, so that there are never many more bars than pixels. */
function bars(phases: readonly IPhase[], from: number, scale: number): IBar[] {
  const found: (IBar & { width: number; phase: PhaseName; seconds: number; count: number })[] = [];
  for (const { phase, round, start, seconds } of phases) {
    const x = (start - from) * scale;
    const width = seconds * scale;
    const last = found[found.length - 1];
    if (last && width < 0.5 && x - last.x < 1 && last.width < 1 && last.round === round) {
      if (seconds > last.seconds) {
        last.phase = phase;
        last.seconds = seconds;
      }
      last.width = Math.max(last.width, x + width - last.x);
      last.count += 1;
    } else {
      found.push({ x, width, phase, round, start, seconds, count: 1 });
    }
  }
  return found;
}

/** The bar under a point, or the nearest within 3 px; null if there is none. */
export function barAt(bars: readonly IBar[], x: number): IBar | null {
  let best: IBar | null = null;
  let distance = 3;
  for (const bar of bars) {
    const away = x < bar.x ? bar.x - x : Math.max(0, x - bar.x - bar.width);
    if (away < distance) {
      best = bar;
      distance = away;
    }
  }
  return best;
}

/** About one tick per 90 px, at 1, 2 or 5 times a power of ten (minutes from 60 s on). */
export function ticks(seconds: number, width: number): { seconds: number; x: number }[] {
  if (!(seconds > 0) || width < 90) {
    return [];
  }
  const wanted = (seconds * 90) / width;
  const steps = [60, 120, 300, 600, 1800, 3600, 7200, 18_000, 36_000, 86_400];
  const power = 10 ** Math.floor(Math.log10(wanted));
  const small = [1, 2, 5, 10].map(step => step * power).find(step => step >= wanted)!;
  const step = small <= 30 ? small : (steps.find(candidate => candidate >= wanted) ?? Math.ceil(wanted / 86_400) * 86_400);
  const found: { seconds: number; x: number }[] = [];
  for (let index = 0; index * step <= seconds; index++) {
    found.push({ seconds: index * step, x: (index * step * width) / seconds });
  }
  return found;
}

/** Seconds by party and round, in order of rounds, then of parties. */
export function phaseSums(phases: readonly IPhase[], order: readonly string[]): IPhaseSums[] {
  const sums = new Map<string, { party: string; round: number; compute: number; wait: number; transfer: number }>();
  for (const { party, round, phase, seconds } of phases) {
    const key = `${round}/${party}`;
    const entry = sums.get(key) ?? { party, round, compute: 0, wait: 0, transfer: 0 };
    entry[phase] += seconds;
    sums.set(key, entry);
  }
  const parties = allParties(
    order,
    phases.map(phase => phase.party)
  );
  const place = new Map(parties.map((party, index) => [party, index]));
  return [...sums.values()].sort((a, b) => a.round - b.round || place.get(a.party)! - place.get(b.party)!);
}
