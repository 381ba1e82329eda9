/** The list of tasks. */
import { TranslationBundle } from '@jupyterlab/translation';
import { Button, ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import React from 'react';
import { templateText } from '../display/said';
import { CommandIDs, IFederations, ISelection, ITaskHub } from '../tokens';
import { Ago, Empty, Name, Progress, Status } from './parts';
import { ITaskRow, progress, taskRows } from './rows';
import { roundText } from './words';

/** How many tasks are shown at first; older ones come when asked for. */
const PAGE = 50;

export interface IPanelOptions {
  hub: ITaskHub;
  federations: IFederations;
  selection: ISelection;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

function optionId(task: string): string {
  return `pg-task-${task}`;
}

function TaskItem({ row, selected, options }: { row: ITaskRow; selected: boolean; options: IPanelOptions }): JSX.Element {
  const { trans, selection, commands } = options;
  const ref = React.useRef<HTMLLIElement>(null);
  React.useEffect(() => {
    if (selected) {
      ref.current?.scrollIntoView({ block: 'nearest' });
    }
  }, [selected]);
  const round = row.status === 'finished' ? '' : roundText(row, trans);
  const title = templateText(row.title, trans);
  return (
    <li
      ref={ref}
      id={optionId(row.task)}
      className={`pg-Task${selected ? ' pg-mod-selected' : ''}`}
      role="option"
      aria-selected={selected}
      data-task={row.task}
      title={`${title}\n${row.task}`}
      onClick={() => selection.select(row.task)}
      onContextMenu={() => selection.select(row.task)}
      onDoubleClick={() => void commands.execute(CommandIDs.openAll, { task: row.task })}
    >
      <div className="pg-Task-line">
        <span className="pg-Task-title">{title}</span>
        <Status status={row.status} trans={trans} />
      </div>
      <div className="pg-Task-line pg-mod-small">
        <Name className="pg-Task-id" name={row.task} />
        <span>
          {[round, row.source === 'background' ? trans.__('background') : ''].filter(Boolean).join(' · ')}
          {row.created !== null && row.status !== 'running' && (
            <>
              {(round !== '' || row.source === 'background') && ' · '}
              <Ago time={row.created} trans={trans} />
            </>
          )}
        </span>
      </div>
      {row.status === 'running' && <Progress value={progress(row)} label={trans.__('Progress of %1', title)} />}
    </li>
  );
}

function Tasks({ options }: { options: IPanelOptions }): JSX.Element {
  const { hub, federations, selection, commands, trans } = options;
  const [shown, setShown] = React.useState(PAGE);
  const rows = taskRows(hub.tasks, federations.all);
  const current = rows.findIndex(row => row.task === selection.current);
  const visible = rows.slice(0, Math.max(shown, current + 1));

  if (rows.length === 0) {
    return hub.ready ? (
      <Empty>
        <p>{trans.__('No federation yet.')}</p>
        <p>
          {trans.__(
            'A federation trains one model with several parties: each party has its own notebook, kernel and data, and you see all of them here.'
          )}
        </p>
        <Button className="pg-Empty-button" onClick={() => void commands.execute(CommandIDs.create)}>
          {trans.__('Start a federation…')}
        </Button>
        <p className="pg-mod-small">{trans.__('Or choose a template in the launcher, under “Federations”.')}</p>
      </Empty>
    ) : (
      <Empty>
        <p role="status">{hub.connected ? trans.__('Looking for tasks…') : trans.__('Connecting to the server…')}</p>
      </Empty>
    );
  }

  const onKeyDown = (event: React.KeyboardEvent): void => {
    const steps: { [key: string]: number } = { ArrowDown: current + 1, ArrowUp: current - 1, Home: 0, End: rows.length - 1 };
    if (event.key === 'Enter' && current >= 0) {
      void commands.execute(CommandIDs.openAll, { task: rows[current].task });
    } else if (event.key === 'Delete' && current >= 0) {
      void commands.execute(CommandIDs.remove, { task: rows[current].task });
    } else if (event.key in steps) {
      selection.select(rows[Math.min(rows.length - 1, Math.max(0, steps[event.key]))].task);
    } else {
      return;
    }
    event.preventDefault();
  };
  return (
    <>
      {!hub.connected && (
        <p className="pg-Offline" role="status">
          {trans.__('The connection to the server is lost; trying again.')}
        </p>
      )}
      <ul
        className="pg-Tasks-list"
        role="listbox"
        aria-label={trans.__('Tasks')}
        aria-activedescendant={current >= 0 ? optionId(rows[current].task) : undefined}
        tabIndex={0}
        onKeyDown={onKeyDown}
      >
        {visible.map(row => (
          <TaskItem key={row.task} row={row} selected={row.task === selection.current} options={options} />
        ))}
      </ul>
      {visible.length < rows.length && (
        <Button className="pg-More" minimal onClick={() => setShown(shown + PAGE)}>
          {trans.__('Show older tasks (%1)', rows.length - visible.length)}
        </Button>
      )}
    </>
  );
}

export class TasksSection extends ReactWidget {
  constructor(options: IPanelOptions) {
    super();
    this._options = options;
    this.id = 'pg-tasks-section';
    this.title.label = options.trans.__('Tasks');
    this.addClass('pg-Tasks');
  }

  protected override render(): JSX.Element {
    const { hub, federations, selection } = this._options;
    const tasks = (): JSX.Element => <Tasks options={this._options} />;
    return (
      <UseSignal signal={hub.connectedChanged}>
        {() => (
          <UseSignal signal={hub.tasksChanged}>
            {() => (
              <UseSignal signal={federations.changed}>
                {() => <UseSignal signal={selection.changed}>{tasks}</UseSignal>}
              </UseSignal>
            )}
          </UseSignal>
        )}
      </UseSignal>
    );
  }

  private readonly _options: IPanelOptions;
}
