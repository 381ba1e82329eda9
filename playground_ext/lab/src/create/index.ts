/** Plugin: a tile per template in the launcher, the dialog behind it, and the notebooks opened side by side. */
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, ISessionContextDialogs } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { Contents } from '@jupyterlab/services';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';
import { templateText } from '../display/said';
import { PartyNotebooks } from '../federation/notebooks';
import { federationIcon, templateIcon } from '../icons';
import { inOrder } from '../parties';
import { report } from '../report';
import { request } from '../request';
import { CommandIDs, DOMAIN, IFederation, IFederations, ISelection, ITemplate } from '../tokens';
import { CreateDialog } from './dialog';
import { Draft } from './draft';

/** The template with which the dialog opens when none is asked for. */
const FIRST = 'fed_avg';

export const createPlugin: JupyterFrontEndPlugin<void> = {
  id: 'playground-ext:create',
  description: 'Starts a federation from a template: tiles in the launcher, a dialog, notebooks side by side.',
  autoStart: true,
  requires: [IDocumentManager, IFederations, ISelection],
  optional: [ILauncher, ICommandPalette, IDefaultFileBrowser, ISessionContextDialogs, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    documents: IDocumentManager,
    federations: IFederations,
    selection: ISelection,
    launcher: ILauncher | null,
    palette: ICommandPalette | null,
    browser: IDefaultFileBrowser | null,
    dialogs: ISessionContextDialogs | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const category = trans.__('Federations');
    const notebooks = new PartyNotebooks({
      documents,
      federations,
      dialogs: dialogs ?? undefined,
      translator: translator ?? nullTranslator
    });
    let templates: ITemplate[] = [];
    const template = (name: unknown): ITemplate | undefined =>
      templates.find(template => template.name === (name ?? FIRST)) ?? (name === undefined ? templates[0] : undefined);

    app.commands.addCommand(CommandIDs.create, {
      label: args => {
        const title = args['template'] === undefined ? undefined : templateText(template(args['template'])?.title ?? '', trans) || undefined;
        if (args['isPalette']) {
          return title === undefined ? trans.__('New Federation…') : trans.__('New Federation: %1…', title);
        }
        return title ?? trans.__('New federation…');
      },
      caption: args => templateText(template(args['template'])?.description ?? '', trans) || trans.__('Start a federation: one notebook per party'),
      icon: args =>
        args['isPalette'] ? undefined : args['template'] === undefined ? federationIcon : templateIcon(String(args['template'])),
      describedBy: {
        args: {
          type: 'object',
          properties: {
            template: { type: 'string', description: 'Name of the template; without it, the first one' },
            cwd: { type: 'string', description: 'Folder in which the federation folder is proposed' }
          }
        }
      },
      execute: async (args): Promise<Widget | null> => {
        try {
          if (templates.length === 0) {
            templates = await request<ITemplate[]>('templates');
          }
          const chosen = template(args['template']);
          if (chosen === undefined) {
            throw new Error(trans.__('There is no template named %1.', String(args['template'])));
          }
          const directory = String(args['cwd'] ?? browser?.model.path ?? '');
          const federation = await ask(chosen, directory, args['template'] === undefined ? templates : [chosen]);
          if (federation === null) {
            return null;
          }
          selection.select(federation.task);
          const panels = await notebooks.openAll(federation);
          app.shell.activateById(panels[0].id);
          return panels[0];
        } catch (error) {
          await report(trans.__('The federation could not be opened'), error);
          return null;
        }
      }
    });

    /** The federation that the user made with the dialog; null if the user gave up. */
    async function ask(template: ITemplate, directory: string, templates: ITemplate[]): Promise<IFederation | null> {
      const draft = new Draft({ templates, template, directory, trans });
      watchFolder(draft, app.serviceManager.contents);
      const dialog = new CreateDialog(
        draft,
        body => request<IFederation>('federations', { method: 'POST', body }),
        trans
      );
      await dialog.launch();
      const made = dialog.federation;
      return made === null ? null : { ...made, parties: inOrder(made.parties) };
    }

    palette?.addItem({ command: CommandIDs.create, category, args: { isPalette: true } });

    void app.restored
      .then(() => request<ITemplate[]>('templates'))
      .then(found => {
        templates = found;
        templates.forEach((template, rank) => {
          launcher?.add({ command: CommandIDs.create, category, rank, args: { template: template.name } });
          palette?.addItem({ command: CommandIDs.create, category, args: { template: template.name, isPalette: true } });
        });
      })
      .catch(error => console.error('playground-ext: the templates could not be listed.', error));
  }
};

/** Tell the draft which names its folder has already, now and whenever another folder is typed. */
function watchFolder(draft: Draft, contents: Contents.IManager): void {
  let asked: string | null = null;
  const look = (): void => {
    const folder = draft.form.value('directory').trim();
    if (folder === asked) {
      return;
    }
    asked = folder;
    contents
      .get(folder, { content: true, type: 'directory' })
      .then(model => (model.content as Contents.IModel[]).map(entry => entry.name))
      .catch(() => []) // not there yet: the server makes it, or says why not
      .then(names => {
        if (asked === folder) {
          draft.setTaken(names);
        }
      });
  };
  draft.changed.connect(look);
  look();
}
