/** The log view of one task: toolbar above, lines below. */
import { Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DisposableSet } from '@lumino/disposable';
import { Message } from '@lumino/messaging';
import { PanelLayout, Widget } from '@lumino/widgets';
import React from 'react';
import type { ITaskHub, ITaskModel } from '../tokens';
import { allParties } from '../display/colours';
import { countText } from '../display/numbers';
import { ReactPart } from '../display/react';
import { Throttle } from '../display/throttle';
import { ITaskContent } from '../display/view';
import { Announcer } from './announce';
import { IFeedChange, LogFeed } from './feed';
import { ILogFilter, isEmpty, NO_FILTER } from './filter';
import { LogList } from './list';
import { recordsText } from './text';
import { LogToolbar } from './toolbar';

const OLDER = 1000; // lines fetched at once
const MANY = 20; // times that, when somebody asks for older lines
const TOOLBAR_EVERY = 200; // ms between drawings of the toolbar's numbers

export interface ILogViewOptions {
  model: ITaskModel;
  hub: ITaskHub;
  trans: TranslationBundle;
}

export class LogView extends Widget implements ITaskContent {
  readonly task: string;

  constructor(options: ILogViewOptions) {
    super();
    const { model, hub, trans } = options;
    this.task = model.task;
    this.model = model;
    this.hub = hub;
    this.trans = trans;
    this.addClass('pg-LogView');
    this.feed = new LogFeed(model.logs);
    this.announcer = new Announcer(trans);
    this.list = new LogList({
      lines: this.feed.lines,
      label: trans.__('Log lines of %1', model.task),
      roundLabel: round => trans.__('r%1', round),
      scrolled: atEnd => this.onScrolled(atEnd),
      reachedTop: () => void this.loadOlder(),
      selecting: () => this.setPaused(true)
    });
    this.list.wrapping = this.wrap;
    this.bar = new ReactPart(() => this.renderBar());
    this.bar.addClass('pg-LogView-bar');
    const body = new Widget();
    body.addClass('pg-LogView-body');
    this.latest.type = 'button';
    this.latest.className = 'pg-Button pg-LogView-latest';
    this.latest.hidden = true;
    this.latest.onclick = () => {
      this.setPaused(false);
      this.list.node.focus({ preventScroll: true });
    };
    this.note.className = 'pg-LogView-note';
    body.node.append(this.list.node, this.note, this.latest, this.announcer.node);
    const layout = (this.layout = new PanelLayout());
    layout.addWidget(this.bar);
    layout.addWidget(body);

    this.disposables.add(this.feed);
    this.disposables.add(this.list);
    this.disposables.add(this.announcer);
    this.disposables.add(this.soon);
    this.disposables.add(model.subscribe(['parties', 'logs']));
    this.feed.changed.connect(this.onFeed, this);
    model.stateChanged.connect(this.onState, this);
    hub.connectedChanged.connect(this.refresh, this);
    this.node.addEventListener('keydown', this.onKey);
    this.noteParties(model.logs.items);
    this.onState();
  }

  override dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this.feed.changed.disconnect(this.onFeed, this);
    this.model.stateChanged.disconnect(this.onState, this);
    this.hub.connectedChanged.disconnect(this.refresh, this);
    this.node.removeEventListener('keydown', this.onKey);
    this.disposables.dispose();
    super.dispose();
  }

  showParty(party: string): void {
    this.setFilter({ ...NO_FILTER, parties: new Set([party]) });
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.list.update();
  }

  protected override onActivateRequest(): void {
    this.list.node.focus({ preventScroll: true });
  }

  private onFeed(_: LogFeed, change: IFeedChange): void {
    if (change.fresh.length) {
      this.noteParties(change.fresh);
      if (this.isVisible) {
        this.announcer.add(change.fresh);
      }
    }
    if (change.type === 'prepend') {
      this.list.shift(change.rows);
    } else if (change.type === 'reset' && !this.feed.lines.total) {
      this.seen.clear();
      this.rounds = 0;
      this.exhausted = false;
      this.list.following = true;
      this.onState();
    } else if (change.type !== 'waiting') {
      this.list.update();
    }
    this.soon.request();
  }

  private onState(): void {
    const known = this.model.state?.parties.map(party => party.party) ?? [];
    const parties = allParties(known, this.seen);
    if (parties.length !== this.parties.length || parties.some((party, index) => party !== this.parties[index])) {
      this.parties = parties;
      this.list.setParties(parties);
    }
    this.refresh();
  }

  private noteParties(records: readonly { party: string; round: number | null }[]): void {
    const before = this.seen.size;
    for (const record of records) {
      this.seen.add(record.party);
      this.rounds = Math.max(this.rounds, record.round ?? 0);
    }
    if (this.seen.size !== before) {
      this.onState();
    }
  }

  private onScrolled(atEnd: boolean): void {
    if (!atEnd && !this.feed.paused) {
      this.byScrolling = true;
      this.feed.pause();
      this.list.following = false;
      this.refresh();
    } else if (atEnd && this.feed.paused && this.byScrolling) {
      this.setPaused(false);
    }
  }

  private setPaused(paused: boolean): void {
    if (paused === this.feed.paused) {
      this.byScrolling = this.byScrolling && !paused;
      return;
    }
    this.byScrolling = false;
    if (paused) {
      this.feed.pause();
    } else {
      this.feed.follow();
    }
    this.list.following = !paused;
    this.refresh();
  }

  private setFilter(filter: ILogFilter): void {
    const change = () => this.feed.setFilter(filter);
    this.list.keepPlace(change);
    this.list.marked = filter.text;
    this.refresh();
  }

  /** Whether the task has lines before the first one here. */
  private get hasOlder(): boolean {
    return !this.exhausted && this.feed.lines.firstSeq > 1 && this.feed.hasRoom;
  }

  private async loadOlder(times = 1): Promise<void> {
    if (this.loading || !this.hasOlder) {
      return;
    }
    this.loading = true;
    this.refresh();
    try {
      for (let time = 0; time < times && this.hasOlder && !this.isDisposed; time++) {
        this.exhausted = !(await this.model.loadOlderLogs(OLDER));
      }
      this.failure = null;
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error);
    } finally {
      this.loading = false;
      this.refresh();
    }
  }

  private refresh(): void {
    if (this.isDisposed) {
      return;
    }
    const { trans, feed } = this;
    this.bar.update();
    this.latest.hidden = !feed.paused;
    const waiting = feed.waiting
      ? trans._n('%2 new line', '%2 new lines', feed.waiting, countText(feed.waiting))
      : trans.__('Follow');
    this.latest.textContent = `↓ ${waiting}`;
    this.latest.title = trans.__('Go to the newest line and follow');
    const note = this.noteText();
    this.note.textContent = note;
    this.note.hidden = !note;
    this.note.classList.toggle('pg-mod-empty', !feed.lines.count);
  }

  private noteText(): string {
    const { trans, feed, model } = this;
    if (this.failure) {
      return trans.__('Older lines could not be fetched: %1', this.failure);
    }
    if (model.error && !feed.lines.total) {
      return model.error;
    }
    if (!this.hub.connected) {
      return feed.lines.total
        ? trans.__('The connection is lost; the log goes on where it stopped as soon as it is back.')
        : trans.__('Connecting…');
    }
    if (!feed.lines.total && model.state?.round) {
      return trans.__('Fetching the log…');
    }
    if (!feed.lines.total) {
      return trans.__('Nothing logged yet. Lines of all parties appear here as soon as they write some.');
    }
    if (!feed.lines.count) {
      return isEmpty(feed.lines.filter) ? '' : trans.__('None of %1 lines passes the filters.', countText(feed.lines.total));
    }
    return '';
  }

  private renderBar(): JSX.Element {
    const { feed, trans } = this;
    return (
      <LogToolbar
        trans={trans}
        filter={feed.lines.filter}
        parties={this.parties}
        rounds={Math.max(this.rounds, this.model.state?.round ?? 0)}
        count={feed.lines.count}
        total={feed.lines.total}
        older={this.hasOlder ? (this.loading ? 'loading' : 'here') : 'none'}
        paused={feed.paused}
        wrap={this.wrap}
        search={this.search}
        onFilter={filter => this.setFilter(filter)}
        onOlder={() => void this.loadOlder(MANY)}
        onPause={paused => this.setPaused(paused)}
        onWrap={wrap => {
          this.wrap = wrap;
          this.list.wrapping = wrap;
          this.refresh();
        }}
        onCopy={() => Clipboard.copyToSystem(recordsText(feed.lines))}
        onSave={() => this.save()}
        onLeave={() => this.list.node.focus({ preventScroll: true })}
      />
    );
  }

  private save(): void {
    const address = URL.createObjectURL(new Blob([recordsText(this.feed.lines)], { type: 'text/plain;charset=utf-8' }));
    const link = document.createElement('a');
    link.href = address;
    link.download = `${this.task}.log.txt`;
    link.click();
    window.setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  private readonly onKey = (event: KeyboardEvent): void => {
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      this.search.current?.focus();
      this.search.current?.select();
      event.preventDefault();
      event.stopPropagation();
    }
  };

  private readonly model: ITaskModel;
  private readonly hub: ITaskHub;
  private readonly trans: TranslationBundle;
  private readonly feed: LogFeed;
  private readonly list: LogList;
  private readonly announcer: Announcer;
  private readonly bar: ReactPart;
  private readonly latest = document.createElement('button');
  private readonly note = document.createElement('div');
  private readonly search = React.createRef<HTMLInputElement>();
  private readonly seen = new Set<string>(); // parties that wrote a line
  private readonly disposables = new DisposableSet();
  private readonly soon = new Throttle(() => this.refresh(), TOOLBAR_EVERY);
  private parties: string[] = [];
  private rounds = 0; // the highest that a line was of
  private wrap = true;
  private byScrolling = false; // the pause began because the reader scrolled up: it ends at the last line
  private loading = false;
  private exhausted = false; // there are no older lines
  private failure: string | null = null;
}
