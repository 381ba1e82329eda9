/** Charts: metrics, bytes, and where a round's time goes. */
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { addTaskView } from '../display/view';
import { chartsIcon } from '../icons';
import { CommandIDs, DOMAIN, ISelection, ITaskHub } from '../tokens';
import { Charts } from './widget';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'playground-ext:charts',
  description: 'Losses, accuracies, bytes and a timeline of a task, by party and round.',
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
      kind: 'charts',
      command: CommandIDs.openCharts,
      label: trans.__('Open Charts'),
      caption: trans.__('Metrics, bytes and time of a task, by party and round'),
      title: trans.__('Charts'),
      icon: chartsIcon,
      create: model => new Charts({ model, hub, trans })
    });
  }
};

export default plugin;
