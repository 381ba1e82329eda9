/** Plugin: commands that act on all notebooks of a federation at once, and their buttons. */
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, ISessionContextDialogs, Notification } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { templateText } from '../display/said';
import {
  interruptAllIcon,
  restartAllIcon,
  restartAndRunAllIcon,
  runAllIcon,
  runInBackgroundIcon
} from '../icons';
import { report } from '../report';
import { request } from '../request';
import { CommandIDs, DOMAIN, IFederation, IFederations, ISelection, ITaskHub } from '../tokens';
import { BackgroundRuns } from './background';
import { PartyNotebooks } from './notebooks';
import { Target } from './target';
import { addToolbarButtons } from './toolbar';

interface IAction {
  id: string;
  /** In a toolbar, where there is little room. */
  short: string;
  label: string;
  caption: string;
  icon: LabIcon;
  act: (federation: IFederation) => Promise<unknown>;
}

const ARGUMENTS = {
  type: 'object' as const,
  properties: {
    path: { type: 'string' as const, description: "A party's notebook; its federation is meant" },
    task: { type: 'string' as const, description: 'Id of the task; without path and task: the notebook in front, or the selected task' }
  }
};

export const notebooksPlugin: JupyterFrontEndPlugin<void> = {
  id: 'playground-ext:notebooks',
  description: 'Runs, interrupts and restarts all parties of a federation, here or in the background.',
  autoStart: true,
  requires: [IDocumentManager, INotebookTracker, IFederations, ISelection, ITaskHub],
  optional: [ICommandPalette, ISessionContextDialogs, ISettingRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    documents: IDocumentManager,
    tracker: INotebookTracker,
    federations: IFederations,
    selection: ISelection,
    hub: ITaskHub,
    palette: ICommandPalette | null,
    dialogs: ISessionContextDialogs | null,
    settings: ISettingRegistry | null,
    maybeTranslator: ITranslator | null
  ): void => {
    const translator = maybeTranslator ?? nullTranslator;
    const trans = translator.load(DOMAIN);
    const notebooks = new PartyNotebooks({ documents, federations, dialogs: dialogs ?? undefined, translator });
    const target = new Target({ shell: app.shell, tracker, federations, selection, hub });
    const background = new BackgroundRuns({ hub, documents, commands: app.commands, translator });

    const here = (act: (federation: IFederation) => Promise<unknown>) => (federation: IFederation) => {
      selection.select(federation.task);
      return act(federation);
    };
    const actions: IAction[] = [
      {
        id: CommandIDs.runAll,
        short: trans.__('Run all parties'),
        label: trans.__('Run All Parties'),
        caption: trans.__('Run all cells of all parties, each in its own kernel, at the same time'),
        icon: runAllIcon,
        act: here(federation => notebooks.runAll(federation))
      },
      {
        id: CommandIDs.interruptAll,
        short: trans.__('Interrupt all parties'),
        label: trans.__('Interrupt All Parties'),
        caption: trans.__('Interrupt the kernels of all parties'),
        icon: interruptAllIcon,
        act: federation => notebooks.interruptAll(federation)
      },
      {
        id: CommandIDs.restartAll,
        short: trans.__('Restart all parties'),
        label: trans.__('Restart All Parties'),
        caption: trans.__('Restart the kernels of all parties'),
        icon: restartAllIcon,
        act: federation => notebooks.restartAll(federation)
      },
      {
        id: CommandIDs.restartAndRunAll,
        short: trans.__('Restart and run all parties'),
        label: trans.__('Restart and Run All Parties'),
        caption: trans.__('Restart the kernels of all parties and run all their cells'),
        icon: restartAndRunAllIcon,
        act: here(federation => notebooks.restartAndRunAll(federation))
      },
      {
        id: CommandIDs.runInBackground,
        short: trans.__('Run in background'),
        label: trans.__('Run Federation in Background'),
        caption: trans.__('Run copies of the notebooks in a run folder; goes on when the browser is closed'),
        icon: runInBackgroundIcon,
        act: async federation => {
          await notebooks.save(federation);
          const { task } = await request<{ task: string }>('runs', {
            method: 'POST',
            body: { path: federation.folder, parameters: {}, roles: {} }
          });
          background.expect(task);
          selection.select(task);
          Notification.info(trans.__('%1 runs in the background as %2.', templateText(federation.title, trans), task), { autoClose: 5000 });
        }
      }
    ];
    for (const action of actions) {
      app.commands.addCommand(action.id, {
        label: args => (args['toolbar'] ? action.short : action.label),
        caption: args => (args['toolbar'] || args['panel'] ? action.short : action.caption), // names a button without text
        icon: args => (args['isPalette'] || args['isMenu'] ? undefined : action.icon),
        isEnabled: args => target.exists(args),
        describedBy: { args: ARGUMENTS },
        execute: async (args: ReadonlyPartialJSONObject) => {
          try {
            const federation = await target.federation(args);
            if (federation === null) {
              throw new Error(trans.__('This needs the notebook of a party in front, or a task selected in the Federations panel.'));
            }
            return (await action.act(federation)) === true;
          } catch (error) {
            await report(action.label, error);
            return false;
          }
        }
      });
      palette?.addItem({ command: action.id, category: trans.__('Federations'), args: { isPalette: true } });
    }
    const changed = (): void => {
      for (const action of actions) {
        app.commands.notifyCommandChanged(action.id);
      }
    };
    selection.changed.connect(changed);
    hub.tasksChanged.connect(changed);
    tracker.currentChanged.connect(changed);

    addToolbarButtons(tracker, app.commands);

    settings
      ?.load(notebooksPlugin.id)
      .then(loaded => {
        const read = (): void => {
          background.openResults = loaded.get('openResults').composite as boolean;
        };
        read();
        loaded.changed.connect(read);
      })
      .catch(error => console.error('playground-ext: the settings could not be read.', error));
  }
};
