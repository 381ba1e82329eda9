/** Plugin: one line in the status bar about the task that is running, or was looked at last. */
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar, TextItem } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator, TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import React from 'react';
import { templateText } from '../display/said';
import { taskRows, ITaskRow } from '../panel/rows';
import { roundText, statusWord } from '../panel/words';
import { CommandIDs, DOMAIN, IFederations, ISelection, ITaskHub } from '../tokens';

/** The row to speak of: the newest that runs, else the selected one, if it was ever run. */
export function spokenOf(rows: readonly ITaskRow[], selected: string | null): ITaskRow | null {
  return (
    rows.find(row => row.status === 'running') ?? rows.find(row => row.task === selected && row.status !== 'ready') ?? null
  );
}

/** `FedAvg on handwritten digits: round 3/5 · 3 parties`. */
export function statusText(row: ITaskRow, trans: TranslationBundle): string {
  const what = row.status === 'running' && row.round !== null ? roundText(row, trans) : statusWord(row.status, trans).toLowerCase();
  const parties = trans._n('%1 party', '%1 parties', row.parties);
  return `${templateText(row.title, trans)}: ${what} · ${parties}`;
}

export const statusPlugin: JupyterFrontEndPlugin<void> = {
  id: 'playground-ext:status',
  description: 'Round and parties of the running task in the status bar.',
  autoStart: true,
  requires: [ITaskHub, IFederations, ISelection],
  optional: [IStatusBar, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    hub: ITaskHub,
    federations: IFederations,
    selection: ISelection,
    bar: IStatusBar | null,
    translator: ITranslator | null
  ): void => {
    if (bar === null) {
      return;
    }
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const row = (): ITaskRow | null => spokenOf(taskRows(hub.tasks, federations.all), selection.current);
    const open = (): void => void app.commands.execute(CommandIDs.showPanel, { task: row()?.task });
    const text = (): JSX.Element | null => {
      const spoken = row();
      return spoken === null ? null : (
        <TextItem
          source={statusText(spoken, trans)}
          title={trans.__('Show the parties of %1', spoken.task)}
          className="pg-StatusItem"
          role="button"
          tabIndex={0}
          onClick={open}
          onKeyDown={event => (event.key === 'Enter' || event.key === ' ') && open()}
        />
      );
    };
    const item = ReactWidget.create(
      <UseSignal signal={hub.tasksChanged}>{() => <UseSignal signal={selection.changed}>{text}</UseSignal>}</UseSignal>
    );
    item.addClass('jp-mod-highlighted');
    bar.registerStatusItem('playground-ext:status', {
      item,
      align: 'left',
      rank: 90,
      isActive: () => row() !== null,
      activeStateChanged: hub.tasksChanged
    });
  }
};
