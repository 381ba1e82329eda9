/** The buttons in the toolbar of a party's notebook, and of no other. */
import { CommandToolbarButton } from '@jupyterlab/ui-components';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { CommandRegistry } from '@lumino/commands';
import { CommandIDs } from '../tokens';
import { forEachPartyNotebook } from './model';

const BUTTONS = [
  CommandIDs.runAll,
  CommandIDs.interruptAll,
  CommandIDs.restartAll,
  CommandIDs.restartAndRunAll,
  CommandIDs.runInBackground
];

/** Put the buttons in front of the notebook's own. */
export function addToolbarButtons(tracker: INotebookTracker, commands: CommandRegistry): void {
  forEachPartyNotebook(tracker, panel => {
    BUTTONS.forEach((id, index) => {
      const name = id.replace(':', '-');
      const button = new PartyButton(panel, commands, id);
      if (!panel.toolbar.insertItem(index, name, button)) {
        button.dispose();
      }
    });
  });
}

/** Runs a command on the federation of the notebook that the button is in, whichever notebook is in front. */
class PartyButton extends CommandToolbarButton {
  constructor(panel: NotebookPanel, commands: CommandRegistry, id: string) {
    const args = { path: panel.context.path, toolbar: true };
    super({ commands, id, args, label: id === CommandIDs.runAll ? undefined : '' });
    this.addClass('pg-PartyButton');
    panel.context.pathChanged.connect((_, path) => {
      args.path = path;
    });
  }
}
