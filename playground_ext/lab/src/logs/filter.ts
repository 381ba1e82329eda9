/** Which log lines somebody wants to see. */
import type { ILogRecord } from '../tokens';

/** What stands in the log view's toolbar. */
export interface ILogFilter {
  /** Only these parties; all, if empty. */
  readonly parties: ReadonlySet<string>;
  /** The least level; see LEVELS. */
  readonly level: string;
  /** One round; `none` for lines outside of rounds; null for all. */
  readonly round: number | 'none' | null;
  /** Only lines that contain this, whatever the case. A space at either end counts. */
  readonly text: string;
}

/** From the most talkative to the gravest. */
export const LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'] as const;

export const NO_FILTER: ILogFilter = { parties: new Set(), level: 'DEBUG', round: null, text: '' };

/** Rank of a level; an unknown one counts as INFO. */
export function levelRank(level: string): number {
  const rank = (LEVELS as readonly string[]).indexOf(level);
  return rank < 0 ? 1 : rank;
}

/** Whether the filter lets everything pass. */
export function isEmpty(filter: ILogFilter): boolean {
  return !filter.parties.size && levelRank(filter.level) === 0 && filter.round === null && !filter.text;
}

/** A test for lines. Made once per filter, because it runs for thousands of lines a second. */
export function matcher(filter: ILogFilter): (record: ILogRecord) => boolean {
  const { parties, round } = filter;
  const least = levelRank(filter.level);
  const words = filter.text.toLowerCase();
  const wanted = round === 'none' ? null : round;
  return record =>
    (!parties.size || parties.has(record.party)) &&
    (least === 0 || levelRank(record.level) >= least) &&
    (round === null || record.round === wanted) &&
    (!words || record.text.toLowerCase().includes(words));
}

/** The filter with a party added to, or taken from, those wanted. */
export function toggleParty(filter: ILogFilter, party: string): ILogFilter {
  const parties = new Set(filter.parties);
  if (!parties.delete(party)) {
    parties.add(party);
  }
  return { ...filter, parties };
}

/** Where `text` occurs in a line: start offsets, without overlaps, at most `most`. */
export function occurrences(line: string, text: string, most = 100): number[] {
  const found: number[] = [];
  const words = text.toLowerCase();
  const lower = line.toLowerCase();
  if (!words || lower.length !== line.length) {
    return found; // a letter whose lower case is longer (İ) shifts the offsets
  }
  for (let at = lower.indexOf(words); at >= 0 && found.length < most; at = lower.indexOf(words, at + words.length)) {
    found.push(at);
  }
  return found;
}
