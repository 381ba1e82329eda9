/** Says when a background run is over, and opens what it left behind. */
import { Notification } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { templateText } from '../display/said';
import { request, route } from '../request';
import { CommandIDs, DOMAIN, ITask, ITaskHub, ITaskSummary, TaskStatus } from '../tokens';

const GOING: readonly TaskStatus[] = ['waiting', 'running'];

export class BackgroundRuns {
  /** Whether the executed notebooks are opened, in tabs behind the one in front. */
  openResults = true;

  constructor(options: BackgroundRuns.IOptions) {
    this._hub = options.hub;
    this._documents = options.documents;
    this._commands = options.commands;
    this._trans = options.translator.load(DOMAIN);
    this._hub.tasksChanged.connect(this._look, this);
    this._look();
  }

  /** A run that was just started; the list of tasks may only hear of it when it is over. */
  expect(task: string): void {
    this._going.add(task);
  }

  private _look(): void {
    for (const task of this._hub.tasks) {
      if (task.source !== 'background') {
        continue;
      }
      if (GOING.includes(task.status)) {
        this._going.add(task.task);
      } else if (this._going.delete(task.task)) {
        void this._ended(task);
      }
    }
  }

  private async _ended(task: ITaskSummary): Promise<void> {
    const trans = this._trans;
    const name = task.title ? `${templateText(task.title, trans)} (${task.task})` : task.task;
    const show = {
      label: trans.__('Show results'),
      callback: (): void => void this._open(task.task, true)
    };
    switch (task.status) {
      case 'finished':
        Notification.success(trans.__('%1 has finished.', name), { autoClose: 15_000, actions: [show] });
        break;
      case 'failed':
        Notification.error(trans.__('%1 has failed.', name), {
          autoClose: false,
          actions: [
            {
              label: trans.__('Show traceback'),
              callback: () => void this._commands.execute(CommandIDs.showTraceback, { task: task.task })
            },
            show
          ]
        });
        break;
      default:
        Notification.warning(trans.__('%1 was stopped.', name), { autoClose: 8000, actions: [show] });
    }
    if (this.openResults && task.status === 'finished') {
      await this._open(task.task, false);
    }
  }

  /** Open the executed notebooks. They get no kernel: they are there to be read. */
  private async _open(id: string, activate: boolean): Promise<void> {
    try {
      const task = await request<ITask>(route('tasks', id));
      let front = activate;
      for (const { party } of task.parties) {
        const path = task.notebooks[party];
        if (path) {
          this._documents.openOrReveal(path, 'Notebook', undefined, { activate: front }, { shouldStart: false });
          front = false;
        }
      }
    } catch (error) {
      console.error(`playground-ext: the results of ${id} could not be opened`, error);
    }
  }

  private readonly _hub: ITaskHub;
  private readonly _documents: IDocumentManager;
  private readonly _commands: CommandRegistry;
  private readonly _trans: TranslationBundle;
  private readonly _going = new Set<string>();
}

export namespace BackgroundRuns {
  export interface IOptions {
    hub: ITaskHub;
    documents: IDocumentManager;
    commands: CommandRegistry;
    translator: ITranslator;
  }
}
