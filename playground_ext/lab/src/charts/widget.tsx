/** The charts of one task. */
import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DisposableSet } from '@lumino/disposable';
import { Message } from '@lumino/messaging';
import React from 'react';
import type { ITaskHub, ITaskModel } from '../tokens';
import { Throttle } from '../display/throttle';
import { ITaskContent } from '../display/view';
import { GanttCard } from './gantt';
import { MetricCard, TrafficCard } from './metrics';
import { IMetricTable, metricTables } from './series';
import { trafficTable } from './traffic';

const EVERY = 250; // ms between drawings

export interface IChartsOptions {
  model: ITaskModel;
  hub: ITaskHub;
  trans: TranslationBundle;
}

export class Charts extends ReactWidget implements ITaskContent {
  readonly task: string;

  constructor(private readonly options: IChartsOptions) {
    super();
    const { model, hub } = options;
    this.task = model.task;
    this.addClass('pg-Charts');
    this.node.tabIndex = 0;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', options.trans.__('Charts of %1', model.task));
    this.disposables.add(this.soon);
    this.disposables.add(model.subscribe(['parties', 'metrics', 'timeline', 'traffic']));
    model.stateChanged.connect(this.onState, this);
    model.metrics.changed.connect(this.onMetrics, this);
    model.timeline.changed.connect(this.onTimeline, this);
    model.traffic.changed.connect(this.onTraffic, this);
    hub.connectedChanged.connect(this.soon.request, this.soon);
    this.onState();
  }

  override dispose(): void {
    if (this.isDisposed) {
      return;
    }
    const { model, hub } = this.options;
    model.stateChanged.disconnect(this.onState, this);
    model.metrics.changed.disconnect(this.onMetrics, this);
    model.timeline.changed.disconnect(this.onTimeline, this);
    model.traffic.changed.disconnect(this.onTraffic, this);
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
    const { order } = this;
    this.compute();
    const empty = !this.metrics.length && !this.traffic.rounds.length && !model.timeline.items.length;
    return (
      <div className="pg-Charts-grid">
        {empty && <p className="pg-Nothing">{this.emptyText()}</p>}
        {this.metrics.map(table => (
          <MetricCard key={table.name} trans={trans} order={order} table={table} />
        ))}
        {!empty && !this.metrics.length && (
          <p className="pg-Nothing pg-mod-card">
            {model.state?.status === 'finished'
              ? trans.__('This task has reported no metrics.')
              : trans.__('No metric yet. What run_test returns, and what you report yourself, appears here at the end of a round.')}
          </p>
        )}
        {this.phases.length > 0 && <GanttCard trans={trans} phases={this.phases} order={order} />}
        {this.traffic.rounds.length > 0 && (
          <>
            <TrafficCard trans={trans} order={order} table={this.traffic} what="sent" />
            <TrafficCard trans={trans} order={order} table={this.traffic} what="received" />
          </>
        )}
      </div>
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
    return trans.__('Nothing to draw yet. Losses, accuracies, bytes and a timeline appear here when the first round ends.');
  }

  /** Tables anew, but only those whose items changed: charts compare them to know whether to draw. */
  private compute(): void {
    const { model } = this.options;
    if (this.dirty.has('metrics')) {
      this.metrics = metricTables(model.metrics.items, this.order);
    }
    if (this.dirty.has('traffic')) {
      this.traffic = trafficTable(model.traffic.items, this.order);
    }
    if (this.dirty.has('timeline')) {
      this.phases = [...model.timeline.items];
    }
    this.dirty.clear();
  }

  private onState(): void {
    const order = this.options.model.state?.parties.map(party => party.party) ?? [];
    if (order.join('\n') !== this.order.join('\n')) {
      this.order = order;
      this.dirty.add('metrics').add('traffic').add('timeline');
      this.soon.request();
    }
  }

  private onMetrics(): void {
    this.changed('metrics');
  }

  private onTimeline(): void {
    this.changed('timeline');
  }

  private onTraffic(): void {
    this.changed('traffic');
  }

  private changed(what: 'metrics' | 'timeline' | 'traffic'): void {
    this.dirty.add(what);
    this.soon.request();
  }

  private readonly disposables = new DisposableSet();
  private readonly soon = new Throttle(() => this.isVisible && this.update(), EVERY);
  private readonly dirty = new Set<'metrics' | 'timeline' | 'traffic'>(['metrics', 'timeline', 'traffic']);
  private order: string[] = [];
  private metrics: IMetricTable[] = [];
  private traffic = trafficTable([], []);
  private phases: ITaskModel['timeline']['items'] = [];
}
