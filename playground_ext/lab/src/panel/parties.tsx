/** The parties of the selected task. */
import { CommandToolbarButtonComponent, ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import { Message } from '@lumino/messaging';
import { IDisposable } from '@lumino/disposable';
import React from 'react';
import { partyColour } from '../display/colours';
import { stateText, templateText } from '../display/said';
import { CommandIDs, IFailure, IFederation, ITaskModel } from '../tokens';
import { Ago, Empty, Name, Progress, Status } from './parts';
import { IPartyRow, ITaskRow, partyRows, progress, taskRows } from './rows';
import { IPanelOptions } from './tasks';
import { kernelText, roundText } from './words';

/** Buttons above the parties; those whose plugin is disabled are left out. */
const ACTIONS = {
  notebooks: [CommandIDs.runAll, CommandIDs.stop, CommandIDs.restartAndRunAll, CommandIDs.runInBackground],
  background: [CommandIDs.rerun, CommandIDs.stop, CommandIDs.resume]
};
const VIEWS = [CommandIDs.openLogs, CommandIDs.openCharts, CommandIDs.openMessages, CommandIDs.openFolder, CommandIDs.remove];

function Actions({ row, options }: { row: ITaskRow; options: IPanelOptions }): JSX.Element {
  const { commands, trans } = options;
  return (
    <div className="pg-Actions" role="toolbar" aria-label={trans.__('Actions on the task')}>
      {[ACTIONS[row.source], VIEWS].map((ids, index) => (
        <span key={index} className="pg-Actions-group">
          {ids
            .filter(id => commands.hasCommand(id))
            .map(id => (
              <CommandToolbarButtonComponent key={`${id} ${row.task}`} commands={commands} id={id} args={{ task: row.task, panel: true }} label="" />
            ))}
        </span>
      ))}
    </div>
  );
}

function Failure({ failure, task, options }: { failure: IFailure; task: string; options: IPanelOptions }): JSX.Element {
  const { commands, trans } = options;
  const { notebook, cell, line, party } = failure;
  const count = failure.execution_count ?? null;
  return (
    <div className="pg-Failure">
      <div className="pg-Failure-message" title={failure.message}>
        <strong>{failure.kind}</strong> {failure.message}
      </div>
      <div className="pg-Failure-actions">
        <button className="pg-Link" onClick={() => void commands.execute(CommandIDs.showTraceback, { task, party })}>
          {trans.__('Traceback')}
        </button>
        {notebook !== null && (
          <button className="pg-Link" onClick={() => void commands.execute(CommandIDs.goToCell, { notebook, cell, line, execution_count: count })}>
            {cell === null && count === null ? trans.__('Go to notebook') : trans.__('Go to cell')}
          </button>
        )}
      </div>
    </div>
  );
}

function PartyItem(props: { row: IPartyRow; names: string[]; task: string; options: IPanelOptions }): JSX.Element {
  const { row, names, task, options } = props;
  const { commands, trans, federations } = options;
  const open = (): void => {
    if (row.notebook !== null) {
      void commands.execute(CommandIDs.openNotebook, { task, party: row.party, path: row.notebook });
    }
  };
  const kernel = row.status === 'ready' && row.notebook !== null ? federations.panel(row.notebook)?.sessionContext : undefined;
  const state = stateText(row.state, trans) || (kernel ? kernelText(kernel.kernelDisplayStatus, trans) : '');
  return (
    <li className={`pg-Party pg-mod-${row.status}`} data-party={row.party} onClick={open}>
      <span className="pg-Party-colour" style={{ background: partyColour(names, row.party) }} aria-hidden="true" />
      <div className="pg-Party-body">
        <div className="pg-Party-line">
          <button
            className="pg-Party-name"
            disabled={row.notebook === null}
            title={row.notebook === null ? row.party : trans.__('Open the notebook of %1', row.party)}
            onClick={event => {
              event.stopPropagation();
              open();
            }}
          >
            <Name name={row.party} />
          </button>
          <Status status={row.status} trans={trans} />
        </div>
        <div className="pg-Party-line pg-mod-small">
          <span className="pg-Party-state" title={state}>
            {row.party.startsWith(row.role) ? '' : row.role}
            {!row.party.startsWith(row.role) && state ? ' · ' : ''}
            {state}
          </span>
          {row.lastSeen !== null && (
            <span className="pg-Party-seen" title={trans.__('Last sign of life')}>
              <Ago time={row.lastSeen} trans={trans} />
            </span>
          )}
        </div>
        {row.status !== 'ready' && (
          <div className="pg-Party-line pg-mod-small">
            <Progress value={progress(row)} label={trans.__('Progress of %1', row.party)} />
            <span className="pg-Party-round">{roundText(row, trans)}</span>
          </div>
        )}
        {row.error !== null && (
          <div onClick={event => event.stopPropagation()}>
            <Failure failure={row.error} task={task} options={options} />
          </div>
        )}
      </div>
    </li>
  );
}

function Parties({ model, options }: { model: ITaskModel | null; options: IPanelOptions }): JSX.Element {
  const { hub, federations, trans } = options;
  const row = taskRows(hub.tasks, federations.all).find(row => row.task === model?.task);
  if (model === null || (row === undefined && model.state === null)) {
    return (
      <Empty>
        <p>{trans.__('Select a task to see its parties: what each is doing, in which round, and when it last gave a sign of life.')}</p>
      </Empty>
    );
  }
  const federation: IFederation | null = federations.byTask(model.task);
  const rows = partyRows(model.state, federation);
  const names = rows.map(row => row.party);
  const state = model.state;
  const loose = state?.failure && !rows.some(row => row.error !== null) ? state.failure : null;
  return (
    <>
      {row !== undefined && (
        <header className="pg-Detail">
          <div className="pg-Detail-line">
            <h3 title={templateText(row.title, trans)}>{templateText(row.title, trans)}</h3>
            <Status status={row.status} trans={trans} />
          </div>
          <div className="pg-Detail-line pg-mod-small">
            <Name className="pg-Task-id" name={row.task} />
            <span>{roundText(row, trans)}</span>
          </div>
          <Actions row={row} options={options} />
        </header>
      )}
      {model.error !== null && row?.status !== 'ready' && (
        <p className="pg-Offline" role="status">
          {model.error}
        </p>
      )}
      {loose && <Failure failure={loose} task={model.task} options={options} />}
      {rows.length > 0 ? (
        <ul className="pg-Parties-list" aria-label={trans.__('Parties')}>
          {rows.map(row => (
            <PartyItem key={row.party} row={row} names={names} task={model.task} options={options} />
          ))}
        </ul>
      ) : (
        <Empty>
          <p role="status">{trans.__('Nobody is here yet.')}</p>
        </Empty>
      )}
    </>
  );
}

/** Follows the selection, and lets the task's states flow while it is seen. */
export class PartiesSection extends ReactWidget {
  constructor(options: IPanelOptions) {
    super();
    this._options = options;
    this.id = 'pg-parties-section';
    this.title.label = options.trans.__('Parties');
    this.addClass('pg-Parties');
    options.selection.changed.connect(this._follow, this);
    options.hub.tasksChanged.connect(this.update, this);
    options.federations.changed.connect(this.update, this);
    this._follow();
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._subscription?.dispose();
      this._options.selection.changed.disconnect(this._follow, this);
      this._options.hub.tasksChanged.disconnect(this.update, this);
      this._options.federations.changed.disconnect(this.update, this);
      super.dispose();
    }
  }

  protected override render(): JSX.Element {
    const model = this._model;
    const parties = (): JSX.Element => <Parties model={model} options={this._options} />;
    if (model === null) {
      return parties();
    }
    return (
      // the key: UseSignal listens to the signal that it was made with, whatever it gets later
      <UseSignal key={model.task} signal={model.stateChanged}>
        {parties}
      </UseSignal>
    );
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this._follow();
  }

  private _follow(): void {
    const task = this._options.selection.current;
    if (task !== this._model?.task) {
      this._subscription?.dispose();
      this._model = task === null ? null : this._options.hub.task(task);
      this._subscription = this._model?.subscribe(['parties']) ?? null;
    }
    this.update();
  }

  private readonly _options: IPanelOptions;
  private _model: ITaskModel | null = null;
  private _subscription: IDisposable | null = null;
}
