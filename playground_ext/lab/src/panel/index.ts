/** Plugin: the Federations panel, and the commands on one task. */
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { federationIcon } from '../icons';
import { CommandIDs, DOMAIN, IFederations, ISelection, ITaskHub } from '../tokens';
import { addTaskCommands } from './commands';
import { FederationPanel } from './panel';

/** Commands without a meaning of their own in the palette: they need a party or a cell. */
const NOT_IN_PALETTE: string[] = [CommandIDs.openNotebook, CommandIDs.goToCell];

export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: 'playground-ext:panel',
  description: 'The panel that lists tasks and their parties, live.',
  autoStart: true,
  requires: [IDocumentManager, ITaskHub, IFederations, ISelection],
  optional: [ILayoutRestorer, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    documents: IDocumentManager,
    hub: ITaskHub,
    federations: IFederations,
    selection: ISelection,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    maybeTranslator: ITranslator | null
  ): void => {
    const translator = maybeTranslator ?? nullTranslator;
    const trans = translator.load(DOMAIN);
    const { commands } = app;
    const category = trans.__('Federations');
    const added = addTaskCommands({ app, documents, hub, federations, selection, trans });

    const panel = new FederationPanel({ hub, federations, selection, commands, trans, translator });
    app.shell.add(panel, 'left', { rank: 210, type: 'Federations' });
    restorer?.add(panel, panel.id);
    commands.addCommand(CommandIDs.showPanel, {
      label: args => (args['isPalette'] ? trans.__('Show Federations Panel') : trans.__('Federations')),
      caption: trans.__('Show the panel with tasks and parties'),
      icon: args => (args['isPalette'] ? undefined : federationIcon),
      describedBy: { args: { type: 'object', properties: { task: { type: 'string', description: 'Task to select' } } } },
      execute: args => {
        if (typeof args['task'] === 'string') {
          selection.select(args['task']);
        }
        app.shell.activateById(panel.id);
      }
    });
    const changed = (): void => added.forEach(id => commands.notifyCommandChanged(id));
    hub.tasksChanged.connect(changed);
    selection.changed.connect(changed);
    federations.changed.connect(changed);
    for (const command of [CommandIDs.showPanel, ...added]) {
      if (!NOT_IN_PALETTE.includes(command)) {
        palette?.addItem({ command, category, args: { isPalette: true } });
      }
    }
  }
};
