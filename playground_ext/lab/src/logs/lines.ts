/** The log lines that a view holds: which of them pass its filter, and at which row each of those stands. */
import type { ILogRecord } from '../tokens';
import { ILogFilter, matcher, NO_FILTER } from './filter';
import { countRows, widestLine } from './rows';

export interface ILogLimits {
  /** How many lines are held; older ones are dropped. */
  readonly lines: number;
  /** How many rows are shown: a browser draws no element higher than about 16 million px. */
  readonly rows: number;
}

export const LIMITS: ILogLimits = { lines: 200_000, rows: 700_000 };

const COMPACT = 16_384; // dropped lines at which the arrays are copied

/**
 * Lines ordered by their number. Adding costs the new lines only, dropping nothing; a new filter or wrap costs all lines once.
 *
 * Rows count from 0 at the first line shown. Indices are those of lines that pass the filter.
 */
export class LogLines {
  constructor(private readonly limits: ILogLimits = LIMITS) {}

  /** How many lines are held, with those that the filter hides. */
  get total(): number {
    return this.all.length - this.allHead;
  }

  /** How many lines pass the filter. */
  get count(): number {
    return this.shown.length - this.head;
  }

  /** Rows of all lines that pass the filter. */
  get rows(): number {
    return this.end - this.base;
  }

  /** Columns of the widest line that passed the filter; 0 while lines wrap. */
  get widest(): number {
    return this.columns;
  }

  /** Number of the first line held; 0 if there is none. */
  get firstSeq(): number {
    return this.total ? this.all[this.allHead].seq : 0;
  }

  /** Number of the last line held; 0 if there is none. */
  get lastSeq(): number {
    return this.total ? this.all[this.all.length - 1].seq : 0;
  }

  get filter(): ILogFilter {
    return this.wanted;
  }

  get wrap(): number {
    return this.breakAt;
  }

  /** A line that passes the filter. */
  at(index: number): ILogRecord {
    return this.shown[this.head + index];
  }

  /** First row of a line. */
  rowOf(index: number): number {
    return index >= this.count ? this.rows : this.starts[this.head + index] - this.base;
  }

  /** Index of the line that a row belongs to; the last line beyond the end, -1 if there is none. */
  indexAt(row: number): number {
    const wanted = this.base + Math.max(0, row);
    return lastNotAbove(this.starts, wanted, this.head) - this.head;
  }

  /** Index of the line with this number, or of the nearest earlier one that is shown; -1 if there is none. */
  indexOfSeq(seq: number): number {
    let low = this.head;
    let high = this.shown.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.shown[middle].seq <= seq) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low - 1 - this.head;
  }

  /** Add lines at the end; those that are already here (a reconnect) are left out. The oldest make room. */
  append(records: readonly ILogRecord[]): void {
    let last = this.lastSeq;
    for (const record of records) {
      if (record.seq > last || !this.total) {
        last = record.seq;
        this.all.push(record);
        if (this.passes(record)) {
          this.show(record);
        }
      }
    }
    this.trim(this.limits.lines);
  }

  /** Add older lines at the beginning, beyond the limit if need be. Returns by how many rows those that follow moved down. */
  prepend(records: readonly ILogRecord[]): number {
    const first = this.total ? this.firstSeq : Infinity;
    const older = records.filter(record => record.seq < first);
    const before = this.rows;
    if (older.length) {
      this.all = older.concat(this.all.slice(this.allHead));
      this.allHead = 0;
      this.rebuild();
    }
    return this.rows - before;
  }

  /** Forget the oldest lines until at most `most` are held. */
  trim(most: number): void {
    const surplus = this.total - most;
    if (surplus > 0) {
      this.allHead += surplus;
      const first = this.firstSeq;
      while (this.count && this.shown[this.head].seq < first) {
        this.dropFirst();
      }
    }
    while (this.rows > this.limits.rows && this.count > 1) {
      this.dropFirst();
    }
    this.compact();
  }

  clear(): void {
    this.all = [];
    this.allHead = 0;
    this.rebuild();
  }

  setFilter(filter: ILogFilter): void {
    this.wanted = filter;
    this.passes = matcher(filter);
    this.rebuild();
  }

  /** Columns at which lines break; 0: they do not. */
  setWrap(columns: number): void {
    if (columns !== this.breakAt) {
      this.breakAt = columns;
      this.rebuild();
    }
  }

  /** How many of these lines pass the filter. */
  matching(records: readonly ILogRecord[]): number {
    return records.reduce((count, record) => count + (this.passes(record) ? 1 : 0), 0);
  }

  /** All lines that pass the filter, the oldest first. */
  *[Symbol.iterator](): IterableIterator<ILogRecord> {
    for (let index = this.head; index < this.shown.length; index++) {
      yield this.shown[index];
    }
  }

  private show(record: ILogRecord): void {
    this.shown.push(record);
    this.starts.push(this.end);
    this.end += countRows(record.text, this.breakAt);
    if (!this.breakAt) {
      this.columns = Math.max(this.columns, widestLine(record.text));
    }
  }

  private dropFirst(): void {
    this.head += 1;
    this.base = this.head < this.starts.length ? this.starts[this.head] : this.end;
  }

  private compact(): void {
    if (this.allHead > COMPACT && 8 * this.allHead > this.all.length) {
      this.all = this.all.slice(this.allHead);
      this.allHead = 0;
    }
    if (this.head > COMPACT && 8 * this.head > this.shown.length) {
      this.shown = this.shown.slice(this.head);
      this.starts = this.starts.slice(this.head);
      this.head = 0;
    }
  }

  private rebuild(): void {
    this.shown = [];
    this.starts = [];
    this.head = this.base = this.end = this.columns = 0;
    for (let index = this.allHead; index < this.all.length; index++) {
      if (this.passes(this.all[index])) {
        this.show(this.all[index]);
      }
    }
    while (this.rows > this.limits.rows && this.count > 1) {
      this.dropFirst();
    }
  }

  private all: ILogRecord[] = [];
  private allHead = 0; // lines before it were dropped
  private shown: ILogRecord[] = [];
  private starts: number[] = []; // row at which each shown line starts, counted from any origin
  private head = 0; // shown lines before it were dropped
  private base = 0; // row of the first shown line
  private end = 0; // row after the last shown line
  private columns = 0;
  private breakAt = 0;
  private wanted: ILogFilter = NO_FILTER;
  private passes = matcher(NO_FILTER);
}

/** Index of the last value that is not above `wanted`, among those from `from` on; from - 1 if there is none. */
function lastNotAbove(values: readonly number[], wanted: number, from: number): number {
  let low = from;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low - 1;
}
