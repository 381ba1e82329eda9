/** Messages: what crosses each party's boundary, as a diagram and as a table. */
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { addTaskView } from '../display/view';
import { messagesIcon } from '../icons';
import { CommandIDs, DOMAIN, ISelection, ITaskHub } from '../tokens';
import { Messages } from './widget';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'playground-ext:messages',
  description: 'The messages between the parties of a task: sizes and shapes, never values.',
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
      kind: 'messages',
      command: CommandIDs.openMessages,
      label: trans.__('Open Messages'),
      caption: trans.__('What the parties of a task send to one another'),
      title: trans.__('Messages'),
      icon: messagesIcon,
      create: model => new Messages({ model, hub, trans })
    });
  }
};

export default plugin;
