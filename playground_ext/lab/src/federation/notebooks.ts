/** Acting on all notebooks of a federation at the same time, each in its own kernel. Nothing here asks anything. */
import { ISessionContextDialogs, Notification } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { templateText } from '../display/said';
import { DOMAIN, IFederation, IFederationParty, IFederations } from '../tokens';
import { RunFollower, runningCell } from './follow';
import { grid } from './grid';

/** Milliseconds that a notebook's kernel may take to be there. */
const KERNEL_TIMEOUT = 120_000;

/** Milliseconds after which a kernel that is busy without a reason known to this page counts as running something. */
const BUSY_AT_START = 3000;

export class PartyNotebooks {
  constructor(options: PartyNotebooks.IOptions) {
    this._documents = options.documents;
    this._federations = options.federations;
    this._dialogs = options.dialogs;
    this._translator = options.translator;
    this._trans = options.translator.load(DOMAIN);
  }

  /** Open the notebooks side by side, each with its kernel. Notebooks that are open already stay where they are. */
  async openAll(federation: IFederation): Promise<NotebookPanel[]> {
    const parties = federation.parties;
    const panels = parties.map(party => this._federations.panel(party.path));
    const last = [...panels].reverse().find(panel => panel !== null) ?? null;
    if (last !== null) {
      parties.forEach((party, index) => {
        panels[index] ??= this._open(party, { mode: 'tab-after', ref: last.id, activate: false });
      });
    } else {
      for (const { index, beside, mode } of grid(parties.length)) {
        const ref = beside === null ? null : panels[beside];
        const options = ref === null || mode === null ? {} : { ref: ref.id, mode, activate: mode !== 'tab-after' };
        const panel = (panels[index] = this._open(parties[index], options));
        if (!panel.isAttached) {
          await panel.revealed; // the next one may split from it, and can only when it is laid out
        }
      }
    }
    return Promise.all(panels.map((panel, index) => this._withKernel(panel as NotebookPanel, parties[index])));
  }

  /**
   * Run all cells of all parties, those of one party in its own kernel. A party that is running is left alone: when one of several
   * waiting parties was repaired, this runs that one.
   *
   * @returns whether no cell failed.
   */
  async runAll(federation: IFederation): Promise<boolean> {
    const opened = federation.parties.map(party => this._federations.panel(party.path) !== null);
    const panels = await this.openAll(federation);
    const running = await Promise.all(panels.map((panel, index) => opened[index] && isRunning(panel)));
    const idle = panels.filter((_, index) => !running[index]);
    if (idle.length === 0) {
      Notification.info(this._trans.__('All parties of %1 are running already.', templateText(federation.title, this._trans)), { autoClose: 4000 });
      return true;
    }
    return this._run(idle);
  }

  /** Interrupt the kernels of the notebooks that are open. */
  async interruptAll(federation: IFederation): Promise<void> {
    await Promise.all(this._opened(federation).map(panel => panel.sessionContext.session?.kernel?.interrupt()));
  }

  /** Restart the kernels; outputs stay. */
  async restartAll(federation: IFederation): Promise<NotebookPanel[]> {
    const panels = await this.openAll(federation);
    await Promise.all(panels.map(panel => panel.sessionContext.restartKernel()));
    return panels;
  }

  async restartAndRunAll(federation: IFederation): Promise<boolean> {
    return this._run(await this.restartAll(federation));
  }

  /** Save the open notebooks that have changes. */
  async save(federation: IFederation): Promise<void> {
    await Promise.all(
      federation.parties.map(async party => {
        const context = this._federations.panel(party.path)?.context;
        if (context?.isReady && context.model.dirty) {
          await context.save();
        }
      })
    );
  }

  private async _run(panels: NotebookPanel[]): Promise<boolean> {
    const done = panels.map(async ({ content, sessionContext }) => {
      // unlike `runAll`, this leaves the user's cell the active one
      const running = NotebookActions.runCells(content, content.widgets, sessionContext, this._dialogs, this._translator);
      const follower = new RunFollower(content);
      try {
        return await running;
      } finally {
        follower.dispose();
      }
    });
    return (await Promise.all(done)).every(Boolean);
  }

  private _open(party: IFederationParty, options: object): NotebookPanel {
    const kernel = party.kernel ? { name: party.kernel } : undefined;
    const panel = this._documents.openOrReveal(party.path, 'Notebook', kernel, options);
    if (panel === undefined) {
      throw new Error(this._trans.__('The notebook of %1 cannot be opened: %2', party.party, party.path));
    }
    return panel as NotebookPanel;
  }

  /** The party's notebook once it has a kernel that takes requests; running cells earlier would ask for a kernel. */
  private async _withKernel(panel: NotebookPanel, party: IFederationParty): Promise<NotebookPanel> {
    const session = panel.sessionContext;
    const ready = async (): Promise<NotebookPanel> => {
      await panel.context.ready;
      await session.ready;
      const kernel = session.session?.kernel;
      if (!kernel || kernel.status === 'dead') {
        await session.changeKernel({ name: party.kernel || session.kernelPreference.name || 'python3' });
      }
      await session.session?.kernel?.info;
      return panel;
    };
    return within(ready(), KERNEL_TIMEOUT, () =>
      this._trans.__('The kernel of %1 did not start within %2 s.', party.party, KERNEL_TIMEOUT / 1000)
    );
  }

  private _opened(federation: IFederation): NotebookPanel[] {
    return federation.parties.flatMap(party => this._federations.panel(party.path) ?? []);
  }

  private readonly _documents: IDocumentManager;
  private readonly _federations: IFederations;
  private readonly _dialogs: ISessionContextDialogs | undefined;
  private readonly _translator: ITranslator;
  private readonly _trans: TranslationBundle;
}

export namespace PartyNotebooks {
  export interface IOptions {
    documents: IDocumentManager;
    federations: IFederations;
    dialogs?: ISessionContextDialogs;
    translator: ITranslator;
  }
}

/**
 * Whether a notebook runs cells. A kernel that was just started is busy for a moment too, answering who it is; after a reload of the
 * page its being busy is all there is to know.
 */
async function isRunning({ content, sessionContext }: NotebookPanel): Promise<boolean> {
  if (runningCell(content) >= 0) {
    return true;
  }
  const kernel = sessionContext.session?.kernel;
  if (kernel?.status !== 'busy') {
    return false;
  }
  return new Promise(resolve => {
    const answer = (busy: boolean): void => {
      clearTimeout(timer);
      kernel.statusChanged.disconnect(look);
      resolve(busy);
    };
    const look = (_: unknown, status: string): void => {
      if (status !== 'busy') {
        answer(false);
      }
    };
    const timer = setTimeout(() => answer(true), BUSY_AT_START);
    kernel.statusChanged.connect(look);
  });
}

/** @throws Error - saying `late()`, when `work` takes longer than `milliseconds`. */
async function within<T>(work: Promise<T>, milliseconds: number, late: () => string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(late())), milliseconds);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
