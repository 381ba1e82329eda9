/** The messages of one task, live. */
import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DisposableSet } from '@lumino/disposable';
import { Message } from '@lumino/messaging';
import React from 'react';
import type { IMessage, ITaskHub, ITaskModel } from '../tokens';
import { Throttle } from '../display/throttle';
import { ITaskContent } from '../display/view';
import { byTime } from './filter';
import { MessagesPage } from './view';

const EVERY = 250; // ms between drawings

export interface IMessagesOptions {
  model: ITaskModel;
  hub: ITaskHub;
  trans: TranslationBundle;
}

export class Messages extends ReactWidget implements ITaskContent {
  readonly task: string;

  constructor(private readonly options: IMessagesOptions) {
    super();
    const { model, hub } = options;
    this.task = model.task;
    this.addClass('pg-Messages');
    this.node.tabIndex = -1;
    this.disposables.add(this.soon);
    this.disposables.add(model.subscribe(['parties', 'messages']));
    model.messages.changed.connect(this.onMessages, this);
    model.stateChanged.connect(this.onState, this);
    hub.connectedChanged.connect(this.soon.request, this.soon);
    this.onState();
  }

  override dispose(): void {
    if (this.isDisposed) {
      return;
    }
    const { model, hub } = this.options;
    model.messages.changed.disconnect(this.onMessages, this);
    model.stateChanged.disconnect(this.onState, this);
    hub.connectedChanged.disconnect(this.soon.request, this.soon);
    this.disposables.dispose();
    super.dispose();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.soon.request();
  }

  protected override render(): JSX.Element {
    const { model, trans } = this.options;
    if (this.stale) {
      this.stale = false;
      this.messages = [...model.messages.items].sort(byTime);
    }
    return (
      <MessagesPage
        trans={trans}
        task={this.task}
        messages={this.messages}
        forgotten={model.messages.forgotten}
        order={this.order}
        emptyText={this.emptyText()}
      />
    );
  }

  private emptyText(): string {
    const { model, hub, trans } = this.options;
    if (model.error) {
      return model.error;
    }
    if (!hub.connected) {
      return trans.__('Connecting…');
    }
    return trans.__('No party has sent anything yet. Messages appear here as soon as the first one leaves its party.');
  }

  private onMessages(): void {
    this.stale = true;
    this.soon.request();
  }

  private onState(): void {
    const order = this.options.model.state?.parties.map(party => party.party) ?? [];
    if (order.join('\n') !== this.order.join('\n')) {
      this.order = order;
      this.soon.request();
    }
  }

  private readonly disposables = new DisposableSet();
  private readonly soon = new Throttle(() => this.isVisible && this.update(), EVERY);
  private messages: readonly IMessage[] = [];
  private order: readonly string[] = [];
  private stale = true;
}
