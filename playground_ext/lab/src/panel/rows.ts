/** What the panel lists: tasks that the server knows, and federations that are open but were never run. */
import { IFailure, IFederation, IParty, ITask, ITaskSummary, PartyStatus, TaskStatus } from '../tokens';

/** `ready`: made and open, but not run yet. */
export type RowStatus = TaskStatus | PartyStatus | 'ready';

export interface ITaskRow {
  task: string;
  title: string;
  status: RowStatus;
  round: number | null;
  rounds: number | null;
  parties: number;
  source: 'notebooks' | 'background';
  /** Unix seconds; null for what was never run. */
  created: number | null;
  folder: string | null;
}

export interface IPartyRow {
  party: string;
  role: string;
  status: RowStatus;
  state: string;
  round: number | null;
  rounds: number | null;
  lastSeen: number | null;
  notebook: string | null;
  error: IFailure | null;
}

/** Open federations that were never run come first, then the tasks as the server orders them: newest first. */
export function taskRows(tasks: readonly ITaskSummary[], federations: readonly IFederation[]): ITaskRow[] {
  const known = new Set(tasks.map(task => task.task));
  const titles = new Map(federations.map(federation => [federation.task, federation.title]));
  const fresh = federations.filter(federation => !known.has(federation.task));
  return [
    ...fresh.map((federation): ITaskRow => ({
      task: federation.task,
      title: federation.title,
      status: 'ready',
      round: null,
      rounds: null,
      parties: federation.parties.length,
      source: 'notebooks',
      created: null,
      folder: federation.folder
    })),
    ...tasks.map((task): ITaskRow => ({
      task: task.task,
      title: (task.title !== task.task ? task.title : null) ?? titles.get(task.task) ?? task.algorithm ?? task.task,
      status: task.status,
      round: task.round,
      rounds: task.rounds,
      parties: task.parties,
      source: task.source,
      created: task.created,
      folder: task.folder
    }))
  ];
}

/** The parties of a task as they say, or of a federation that was never run. */
export function partyRows(state: ITask | null, federation: IFederation | null): IPartyRow[] {
  if (state !== null && state.parties.length > 0) {
    return state.parties.map((party): IPartyRow => {
      const open = federation?.parties.find(other => other.party === party.party);
      return {
        party: party.party,
        role: party.role,
        status: party.status,
        state: party.state,
        round: party.round,
        rounds: party.rounds ?? state.rounds,
        lastSeen: party.last_seen,
        notebook: party.notebook ?? state.notebooks[party.party] ?? open?.path ?? null,
        error: party.error
      };
    });
  }
  return (federation?.parties ?? []).map(party => ({
    party: party.party,
    role: party.role,
    status: 'ready',
    state: '',
    round: null,
    rounds: null,
    lastSeen: null,
    notebook: party.path,
    error: null
  }));
}

/** Share of the rounds that is done, 0 to 1; null where nothing is known. A round that is going counts as half done. */
export function progress(row: { status: RowStatus; round: number | null; rounds: number | null }): number | null {
  if (row.status === 'finished') {
    return 1;
  }
  if (row.round === null || row.rounds === null || row.rounds <= 0) {
    return null;
  }
  const done = row.status === 'running' ? row.round - 0.5 : row.round;
  return Math.min(1, Math.max(0, done / row.rounds));
}

/** The failure that stopped a task: the first one, not what followed from it. */
export function failureOf(state: ITask | null): IFailure | null {
  return state?.failure ?? state?.parties.find((party: IParty) => party.error !== null)?.error ?? null;
}
