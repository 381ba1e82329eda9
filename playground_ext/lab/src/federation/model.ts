/** Which of the open notebooks belong together. */
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { ISignal, Signal } from '@lumino/signaling';
import { inOrder } from '../parties';
import { RequestError } from '../request';
import { IFederation, IFederations } from '../tokens';

/** The part of a notebook's metadata that makes it a party's. */
export interface IPartyMetadata {
  template: string;
  role: string;
  party: string;
  task?: string;
  format: number;
}

/** Whose notebook this is; null for an ordinary one. Only after its context is ready. */
export function partyMetadata(panel: NotebookPanel): IPartyMetadata | null {
  const metadata = panel.content.model?.getMetadata('playground') as IPartyMetadata | undefined;
  return metadata !== undefined && typeof metadata.role === 'string' ? metadata : null;
}

/** Call `found` for every party's notebook that is open, and for each that is opened later, when its content is there. */
export function forEachPartyNotebook(tracker: INotebookTracker, found: (panel: NotebookPanel) => void): void {
  const look = (panel: NotebookPanel): void => {
    void panel.context.ready.then(() => {
      if (!panel.isDisposed && partyMetadata(panel) !== null) {
        found(panel);
      }
    });
  };
  tracker.forEach(look);
  tracker.widgetAdded.connect((_, panel) => look(panel));
}

export class Federations implements IFederations {
  /** @param fetch - asks the server which federation a path belongs to. */
  constructor(tracker: INotebookTracker, fetch: (path: string) => Promise<IFederation>) {
    this._tracker = tracker;
    this._fetch = fetch;
    forEachPartyNotebook(tracker, panel => this._watch(panel));
  }

  get all(): readonly IFederation[] {
    return [...this._byFolder.values()].filter(federation =>
      federation.parties.some(party => this.panel(party.path) !== null)
    );
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  async of(path: string): Promise<IFederation | null> {
    const known = this.known(path);
    if (known !== null) {
      return known;
    }
    try {
      const fetched = await this._fetch(path);
      const federation = { ...fetched, parties: inOrder(fetched.parties) };
      this._byFolder.set(federation.folder, federation);
      this._changed.emit();
      return federation;
    } catch (error) {
      if (error instanceof RequestError && error.status === 404) {
        return null;
      }
      throw error;
    }
  }

  known(path: string): IFederation | null {
    for (const federation of this._byFolder.values()) {
      if (federation.folder === path || federation.parties.some(party => party.path === path)) {
        return federation;
      }
    }
    return null;
  }

  byTask(task: string): IFederation | null {
    return this.all.find(federation => federation.task === task) ?? null;
  }

  panel(path: string): NotebookPanel | null {
    return this._tracker.find(panel => !panel.isDisposed && panel.context.path === path) ?? null;
  }

  private _watch(panel: NotebookPanel): void {
    const changed = (): void => this._changed.emit();
    const look = (): void => {
      this.of(panel.context.path).catch(error => console.error(`playground-ext: ${(error as Error).message}`));
    };
    panel.context.pathChanged.connect(() => {
      this._byFolder.clear(); // a folder may have been renamed with all that is in it
      look();
    });
    panel.sessionContext.statusChanged.connect(changed);
    panel.disposed.connect(changed);
    look();
    changed();
  }

  private readonly _tracker: INotebookTracker;
  private readonly _fetch: (path: string) => Promise<IFederation>;
  private readonly _byFolder = new Map<string, IFederation>();
  private readonly _changed = new Signal<this, void>(this);
}
