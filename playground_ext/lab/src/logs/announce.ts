/** Tells people who listen to the page that lines came, seldom enough to be heard out. */
import type { TranslationBundle } from '@jupyterlab/translation';
import { IDisposable } from '@lumino/disposable';
import type { ILogRecord } from '../tokens';
import { levelRank } from './filter';
import { plainText } from './rows';

/** What came since the last announcement. */
export class NewLines {
  count = 0;
  errors = 0;
  private last: ILogRecord | null = null;
  private lastError: ILogRecord | null = null;

  add(records: readonly ILogRecord[]): void {
    for (const record of records) {
      this.count += 1;
      this.last = record;
      if (levelRank(record.level) >= levelRank('ERROR')) {
        this.errors += 1;
        this.lastError = record;
      }
    }
  }

  /** The line most worth reading: the last error, else the last line. Its first row, shortened. */
  sample(most = 160): string {
    const record = this.lastError ?? this.last;
    if (!record) {
      return '';
    }
    const rows = plainText(record.text).trim().split(/\r?\n/);
    const row = this.lastError ? rows[rows.length - 1] : rows[0]; // a traceback says at its end what went wrong
    return `${record.party}: ${row.length > most ? `${row.slice(0, most)}…` : row}`;
  }

  clear(): void {
    this.count = this.errors = 0;
    this.last = this.lastError = null;
  }
}

/** A polite live region that speaks at most every `interval` ms. */
export class Announcer implements IDisposable {
  readonly node = document.createElement('div');

  constructor(
    private readonly trans: TranslationBundle,
    private readonly interval = 5000
  ) {
    this.node.className = 'pg-mod-spoken';
    this.node.setAttribute('role', 'status');
    this.node.setAttribute('aria-live', 'polite');
  }

  get isDisposed(): boolean {
    return this.disposed;
  }

  dispose(): void {
    this.disposed = true;
    window.clearTimeout(this.timer);
  }

  add(records: readonly ILogRecord[]): void {
    this.fresh.add(records);
    if (!this.timer && this.fresh.count && !this.disposed) {
      this.timer = window.setTimeout(() => this.speak(), this.interval);
    }
  }

  private speak(): void {
    const { count, errors } = this.fresh;
    const parts = [this.trans._n('%1 new line', '%1 new lines', count)];
    if (errors) {
      parts.push(this.trans._n('%1 error', '%1 errors', errors));
    }
    this.node.textContent = `${parts.join(', ')}. ${this.fresh.sample()}`;
    this.fresh.clear();
    this.timer = 0;
  }

  private readonly fresh = new NewLines();
  private timer = 0;
  private disposed = false;
}
