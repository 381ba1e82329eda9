/** The rows of the log on the page: only those in sight are elements. */
import { IDisposable } from '@lumino/disposable';
import type { ILogRecord } from '../tokens';
import { partyColour } from '../display/colours';
import { shortName } from '../display/names';
import { clockText, dateText } from '../display/numbers';
import { levelRank, occurrences } from './filter';
import { LogLines } from './lines';
import { softRows } from './rows';
import { SOFT_BREAK, recordsText, selectedText } from './text';

const MARGIN = 12; // rows drawn above and below what is in sight
const LONG = 200; // rows; of a longer line only what is in sight is drawn
const NARROW = 560; // px; below, time and round have no column
const MOST_NAME = 24; // columns of a party's name; longer ones are cut, and told by the tooltip

export interface ILogListOptions {
  lines: LogLines;
  label: string;
  /** Short word for a line's round, "r3". */
  roundLabel: (round: number) => string;
  /** The reader scrolled: away from the end, or to it. */
  scrolled: (atEnd: boolean) => void;
  /** The reader reached the first lines. */
  reachedTop: () => void;
  /** The reader selects text. */
  selecting: () => void;
}

interface IDrawn {
  node: HTMLElement;
  text: HTMLElement;
  key: string; // what the text depends on
  top: number; // px
  height: number; // px
}

export class LogList implements IDisposable {
  /** The element that scrolls. */
  readonly node = document.createElement('div');

  constructor(private readonly options: ILogListOptions) {
    this.lines = options.lines;
    this.node.className = 'pg-LogList';
    this.node.tabIndex = 0;
    this.node.setAttribute('role', 'log');
    this.node.setAttribute('aria-live', 'off'); // the announcer speaks; this one would at every line
    this.node.setAttribute('aria-label', options.label);
    this.canvas.className = 'pg-LogList-canvas';
    this.probe.className = 'pg-LogList-probe';
    this.probe.textContent = 'M'.repeat(50);
    this.probe.setAttribute('aria-hidden', 'true');
    this.node.append(this.canvas, this.probe);
    this.node.addEventListener('scroll', this.onScroll, { passive: true });
    this.node.addEventListener('keydown', this.onKey);
    this.node.addEventListener('copy', this.onCopy);
    document.addEventListener('selectionchange', this.onSelect);
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(this.node);
    this.observer.observe(this.probe);
  }

  get isDisposed(): boolean {
    return this.disposed;
  }

  dispose(): void {
    if (this.disposed) {
      return;
    }
    this.disposed = true;
    this.observer.disconnect();
    document.removeEventListener('selectionchange', this.onSelect);
    cancelAnimationFrame(this.frame);
    this.node.remove();
  }

  /** Keep the end in sight. */
  set following(value: boolean) {
    this.atEnd = value;
    this.update();
  }

  set wrapping(value: boolean) {
    this.wraps = value;
    this.node.classList.toggle('pg-mod-wrap', value);
    this.keepPlace(() => this.applyWrap());
  }

  /** The task's parties, for their colours and the width of their column. */
  setParties(parties: readonly string[]): void {
    this.parties = parties;
    this.nameColumns = Math.min(MOST_NAME, Math.max(8, ...parties.map(party => party.length)));
    this.forget();
    this.measure();
  }

  /** Words to mark. */
  set marked(text: string) {
    this.mark = text;
    this.forget();
    this.update();
  }

  /** Draw before the next frame. */
  update(): void {
    if (!this.frame && !this.disposed) {
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
      });
    }
  }

  /** Older lines came in above; what is in sight stays where it is. */
  shift(rows: number): void {
    this.sizeCanvas();
    this.top(this.node.scrollTop + rows * this.rowHeight);
    this.update();
  }

  /** Do what changes the rows, with the first line in sight staying first. */
  keepPlace(change: () => void): void {
    const index = this.lines.indexAt(Math.floor(this.node.scrollTop / this.rowHeight));
    const seq = index >= 0 ? this.lines.at(index).seq : 0;
    const within = index >= 0 ? this.node.scrollTop - this.lines.rowOf(index) * this.rowHeight : 0;
    change();
    this.forget();
    if (!this.atEnd) {
      const now = this.lines.indexOfSeq(seq);
      this.sizeCanvas();
      this.top(now >= 0 ? this.lines.rowOf(now) * this.rowHeight + (this.lines.at(now).seq === seq ? within : 0) : 0);
    }
    this.update();
  }

  private draw(): void {
    if (!this.height) {
      return; // hidden
    }
    const { lines, rowHeight } = this;
    // first all reading, then all writing: the page is laid out once
    const scrollTop = this.atEnd ? Math.max(0, lines.rows * rowHeight - this.height) : this.node.scrollTop;
    this.sizeCanvas();
    const from = Math.max(0, Math.floor(scrollTop / rowHeight) - MARGIN);
    const to = Math.ceil((scrollTop + this.height) / rowHeight) + MARGIN;
    const kept = new Map<number, IDrawn>();
    for (let index = Math.max(0, lines.indexAt(from)); index < lines.count && lines.rowOf(index) < to; index++) {
      const record = lines.at(index);
      const first = lines.rowOf(index);
      const drawn = this.drawn.get(record.seq) ?? this.element(record);
      this.drawn.delete(record.seq);
      kept.set(record.seq, drawn);
      const count = lines.rowOf(index + 1) - first;
      const skipped = count > LONG ? Math.max(0, from - first) : 0;
      const rows = count > LONG ? Math.min(count, to - first) : count;
      this.fill(drawn, record, skipped, rows);
      const top = (first + skipped) * rowHeight;
      if (drawn.top !== top) {
        drawn.top = top;
        drawn.node.style.top = `${top}px`;
      }
      const height = (rows - skipped) * rowHeight;
      if (drawn.height !== height) {
        drawn.height = height;
        drawn.node.style.height = `${height}px`;
      }
    }
    for (const old of this.drawn.values()) {
      old.node.remove();
    }
    this.drawn = kept;
    let next = this.canvas.firstChild; // in order, for selections and screen readers; what is there already does not move
    for (const { node } of kept.values()) {
      if (node === next) {
        next = next.nextSibling;
      } else {
        this.canvas.insertBefore(node, next);
      }
    }
    if (this.atEnd) {
      this.top(scrollTop);
    }
  }

  private element(record: ILogRecord): IDrawn {
    const node = document.createElement('div');
    node.className = 'pg-LogLine';
    node.dataset.seq = String(record.seq);
    node.dataset.level = record.level;
    node.dataset.party = record.party;
    if (levelRank(record.level) >= levelRank('WARNING')) {
      node.classList.add(levelRank(record.level) >= levelRank('ERROR') ? 'pg-mod-error' : 'pg-mod-warning');
    }
    const gutter = document.createElement('span');
    gutter.className = 'pg-LogLine-gutter';
    const cell = (name: string, content: string, tip = '') => {
      const part = document.createElement('span');
      part.className = `pg-LogLine-${name}`;
      part.textContent = content;
      if (tip) {
        part.title = tip;
      }
      gutter.append(part);
      return part;
    };
    cell('time', clockText(record.time), dateText(record.time));
    cell('level', record.level);
    cell('party', shortName(record.party, this.nameShown), record.party).style.color = partyColour(this.parties, record.party);
    cell('round', record.round === null ? '' : this.options.roundLabel(record.round));
    const text = document.createElement('span');
    text.className = 'pg-LogLine-text';
    node.append(gutter, text);
    return { node, text, key: '', top: -1, height: -1 };
  }

  private fill(drawn: IDrawn, record: ILogRecord, from: number, to: number): void {
    const key = `${from} ${to}`;
    if (drawn.key === key) {
      return;
    }
    drawn.key = key;
    const { rows, soft } = softRows(record.text, this.lines.wrap);
    let text = '';
    for (let row = from; row < Math.min(to, rows.length); row++) {
      text += rows[row] + (row + 1 < Math.min(to, rows.length) ? (soft[row] ? SOFT_BREAK : '\n') : '');
    }
    const found = this.mark ? occurrences(text, this.mark) : [];
    if (!found.length) {
      drawn.text.textContent = text;
      return;
    }
    const parts: (string | HTMLElement)[] = [];
    let end = 0;
    for (const start of found) {
      const mark = document.createElement('mark');
      mark.textContent = text.slice(start, start + this.mark.length);
      parts.push(text.slice(end, start), mark);
      end = start + this.mark.length;
    }
    drawn.text.replaceChildren(...parts, text.slice(end));
  }

  private measure(): void {
    this.height = this.node.isConnected && this.node.clientWidth ? this.node.clientHeight : 0;
    if (!this.height) {
      return;
    }
    const box = this.probe.getBoundingClientRect();
    const character = box.width / 50;
    const rowHeight = Math.round(box.height);
    if (!character || !rowHeight) {
      return;
    }
    const narrow = this.node.clientWidth < NARROW;
    const names = narrow ? Math.min(12, this.nameColumns) : this.nameColumns;
    const gutter = Math.ceil(((narrow ? 0 : 13 + 6) + 9 + names + 1) * character) + 8; // time and round, level, party
    this.nameShown = names;
    this.node.classList.toggle('pg-mod-narrow', narrow);
    this.node.style.setProperty('--pg-row', `${rowHeight}px`);
    this.node.style.setProperty('--pg-gutter', `${gutter}px`);
    this.node.style.setProperty('--pg-name', `${names}ch`);
    this.keepPlace(() => {
      this.rowHeight = rowHeight;
      this.character = character;
      this.gutter = gutter;
      this.applyWrap();
    });
  }

  private applyWrap(): void {
    const room = this.node.clientWidth - this.gutter - 12;
    this.lines.setWrap(this.wraps && this.character ? Math.max(20, Math.floor(room / this.character)) : 0);
  }

  private sizeCanvas(): void {
    const height = `${this.lines.rows * this.rowHeight}px`;
    if (this.canvas.style.height !== height) {
      this.canvas.style.height = height;
    }
    const width = this.lines.wrap ? '100%' : `max(100%, ${Math.ceil(this.gutter + 16 + this.lines.widest * this.character)}px)`;
    if (this.canvas.style.width !== width) {
      this.canvas.style.width = width;
    }
  }

  private top(value: number): void {
    this.lastTop = Math.max(0, Math.min(value, this.lines.rows * this.rowHeight - this.height));
    this.node.scrollTop = this.lastTop;
  }

  private forget(): void {
    this.drawn.forEach(old => old.node.remove());
    this.drawn = new Map();
  }

  private readonly onScroll = (): void => {
    const top = this.node.scrollTop;
    if (Math.abs(top - this.lastTop) > 1) {
      const up = top < this.lastTop;
      this.lastTop = top;
      const atEnd = top + this.node.clientHeight >= this.node.scrollHeight - this.rowHeight;
      if (up || atEnd) {
        this.options.scrolled(atEnd && !up);
      }
      if (up && top < 40 * this.rowHeight) {
        this.options.reachedTop();
      }
    }
    this.update();
  };

  private readonly onKey = (event: KeyboardEvent): void => {
    const page = this.node.clientHeight - 2 * this.rowHeight;
    const end = this.node.scrollHeight;
    const steps: { [key: string]: number } = {
      PageUp: -page,
      PageDown: page,
      Home: -end,
      End: end,
      ArrowUp: -3 * this.rowHeight,
      ArrowDown: 3 * this.rowHeight
    };
    if (event.key in steps && !event.ctrlKey && !event.metaKey && !event.altKey) {
      this.node.scrollTop += steps[event.key];
      event.preventDefault();
      event.stopPropagation();
    } else if (event.key === 'a' && (event.ctrlKey || event.metaKey)) {
      window.getSelection()?.selectAllChildren(this.canvas);
      this.all = true;
      event.preventDefault();
      event.stopPropagation();
    }
  };

  private readonly onSelect = (): void => {
    const selection = window.getSelection();
    const mine = !!selection && !selection.isCollapsed && this.canvas.contains(selection.anchorNode);
    if (mine) {
      this.options.selecting();
    } else {
      this.all = false;
    }
  };

  private readonly onCopy = (event: ClipboardEvent): void => {
    const selection = window.getSelection();
    if (!selection || selection.isCollapsed || !event.clipboardData) {
      return;
    }
    const touched = [...this.drawn.values()].filter(drawn => selection.containsNode(drawn.node, true));
    let text: string;
    if (this.all) {
      text = recordsText(this.lines);
    } else if (touched.length > 1) {
      const numbers = touched.map(drawn => Number(drawn.node.dataset.seq)).sort((a, b) => a - b);
      text = recordsText(numbers.map(seq => this.lines.at(this.lines.indexOfSeq(seq))));
    } else {
      text = selectedText(selection.toString());
    }
    event.clipboardData.setData('text/plain', text);
    event.preventDefault();
  };

  private readonly lines: LogLines;
  private readonly canvas = document.createElement('div');
  private readonly probe = document.createElement('span');
  private readonly observer: ResizeObserver;
  private drawn = new Map<number, IDrawn>(); // by number of the line
  private parties: readonly string[] = [];
  private nameColumns = 12; // wanted
  private nameShown = 12; // with the room there is
  private mark = '';
  private wraps = true;
  private atEnd = true;
  private all = false; // the reader selected everything, also what is not drawn
  private rowHeight = 18; // px
  private character = 8; // px
  private gutter = 300; // px
  private height = 0; // px of the list; 0 while it is hidden
  private lastTop = 0;
  private frame = 0;
  private disposed = false;
}
