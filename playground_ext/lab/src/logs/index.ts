/** The log view: all parties' lines, merged. */
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { addTaskView } from '../display/view';
import { logsIcon } from '../icons';
import { CommandIDs, DOMAIN, ISelection, ITaskHub } from '../tokens';
import { LogView } from './widget';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'playground-ext:logs',
  description: 'The log lines of all parties of a task, merged and live.',
  autoStart: true,
  requires: [ITaskHub, ISelection],
  optional: [ICommandPalette, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    hub: ITaskHub,
    selection: ISelection,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    addTaskView({
      app,
      hub,
      selection,
      palette,
      restorer,
      trans,
      kind: 'logs',
      command: CommandIDs.openLogs,
      label: trans.__('Open Log View'),
      caption: trans.__('The log lines of all parties of a task'),
      title: trans.__('Log'),
      icon: logsIcon,
      create: model => new LogView({ model, hub, trans })
    });
  }
};

export default plugin;
