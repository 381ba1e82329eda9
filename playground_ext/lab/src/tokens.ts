/**
 * What the plugins of this extension share: the values that the server sends, the models that hold them, and the tokens
 * by which a plugin asks for them. Only types and names; the implementations are in hub.ts, task.ts and selection.ts.
 */
import type { NotebookPanel } from '@jupyterlab/notebook';
import { Token } from '@lumino/coreutils';
import { IDisposable } from '@lumino/disposable';
import { ISignal } from '@lumino/signaling';

// ------------------------------------------------------------------------------------------------ values of the server

export interface IRole {
  name: string;
  notebook: string;
  count: number;
  minimum: number;
  maximum: number | null;
  kernel: string | null;
  initiator: boolean;
  title?: string;
  description?: string;
}

export type ParameterType = 'integer' | 'number' | 'string' | 'boolean' | 'choice';
export type ParameterValue = string | number | boolean;

export interface IParameter {
  name: string;
  type: ParameterType;
  default: ParameterValue;
  minimum: number | null;
  maximum: number | null;
  choices: ParameterValue[] | null;
  help: string;
}

export interface ITemplate {
  name: string;
  title: string;
  description: string;
  roles: IRole[];
  parameters: IParameter[];
}

export interface IFederationParty {
  party: string;
  role: string;
  /** Notebook, as a path of the Jupyter server. */
  path: string;
  kernel: string;
}

/** The notebooks of one task, made from a template. */
export interface IFederation {
  task: string;
  template: string;
  title: string;
  /** Path of the Jupyter server. */
  folder: string;
  parties: IFederationParty[];
}

export type TaskStatus = 'waiting' | 'running' | 'finished' | 'failed' | 'interrupted' | 'abandoned';
export type PartyStatus = 'waiting' | 'running' | 'finished' | 'failed' | 'lost' | 'missing';

export interface ITaskSummary {
  task: string;
  title: string | null;
  algorithm: string | null;
  status: TaskStatus;
  /** Unix seconds. */
  created: number;
  round: number | null;
  rounds: number | null;
  /** How many. */
  parties: number;
  source: 'notebooks' | 'background';
  /** Run folder as a path of the Jupyter server; null where that cannot reach it. */
  folder: string | null;
  size_bytes: number;
}

export interface IFailure {
  party: string;
  /** Class of the exception. */
  kind: string;
  message: string;
  /** Plain text, without terminal colours. */
  traceback: string;
  /** Index of the cell in the notebook's file, from 0; null where the file does not say (an open notebook may). */
  cell: number | null;
  /** Number in the cell's prompt when it ran. */
  execution_count?: number | null;
  /** Line within the cell, from 1. */
  line: number | null;
  notebook: string | null;
}

export interface IParty {
  party: string;
  role: string;
  /** What the party itself says it is doing: "training", "waiting for updates". */
  state: string;
  status: PartyStatus;
  round: number | null;
  rounds: number | null;
  /** Unix seconds. */
  last_seen: number | null;
  alive: boolean;
  notebook: string | null;
  error: IFailure | null;
}

export interface ITask extends Omit<ITaskSummary, 'parties'> {
  run: string | null;
  parties: IParty[];
  failure: IFailure | null;
  /** Notebook of each party, as a path of the Jupyter server. */
  notebooks: { [party: string]: string };
}

export interface ILogRecord {
  /** Increasing and unique within the task's run. */
  seq: number;
  /** Unix seconds. */
  time: number;
  party: string;
  level: string;
  round: number | null;
  source: string;
  text: string;
}

/** One value of one metric. */
export interface IPoint {
  seq: number;
  time: number;
  party: string;
  round: number | null;
  name: string;
  /** null: not a number, or infinite. */
  value: number | null;
}

export interface ITensorShape {
  name: string;
  dtype: string;
  shape: number[];
}

/** An envelope that crossed a party's boundary: its size and shapes, never its values. */
export interface IMessage {
  seq: number;
  /** Unix seconds, when it was first sent, by the sender's clock. */
  time: number;
  /** That is unknown, and it was sent before anybody watched: `time` is when it was seen. */
  late?: boolean;
  from: string;
  to: string;
  kind: string;
  round: number | null;
  /** Its place within the round, in the sender's words; empty if it has none. */
  step: string;
  /** Bytes. */
  size: number;
  tensors: ITensorShape[] | null;
  /** Seconds from being sent to being taken; null until that is known. */
  latency: number | null;
}

/** What became known of a message after it was sent to the page. */
export interface ILatency {
  seq: number;
  /** The `seq` of the message. */
  message: number;
  latency: number;
}

/** Where a part of a round's time went. Of a round that is over: three sums, one after the other within it. */
export interface IPhase {
  party: string;
  round: number;
  phase: 'compute' | 'wait' | 'transfer';
  /** Unix seconds. */
  start: number;
  seconds: number;
  /** `start` is an estimate. */
  late?: boolean;
}

/** Bytes of one party in one round; round 0: outside of rounds. */
export interface ITraffic {
  party: string;
  round: number;
  sent: number;
  received: number;
}

// -------------------------------------------------------------------------------------------------------------- models

/** What a view may subscribe to of one task. */
export type Channel = 'parties' | 'logs' | 'metrics' | 'messages' | 'timeline' | 'traffic';

export interface IItemsChange<T> {
  /**
   * append: `items` came last. prepend: `items` are older and came first (`TaskModel.loadOlderLogs`). update: read `store.items`
   * again; `items` are all there are (timeline, traffic), or those of which something became known (messages). clear: a new run; the store is empty.
   */
  type: 'append' | 'prepend' | 'update' | 'clear';
  items: readonly T[];
  /** How many of the oldest items were forgotten in this change, because the store was full. */
  forgotten: number;
}

/** Items of one kind in order. The array is the store's own and grows in place: read it, never keep or change it. */
export interface IItems<T> {
  readonly items: readonly T[];
  /** How many older items were here and were forgotten to bound memory. */
  readonly forgotten: number;
  readonly changed: ISignal<IItems<T>, IItemsChange<T>>;
}

/** Everything that the page knows of one task. Empty until somebody subscribes. */
export interface ITaskModel {
  readonly task: string;
  /** Which run of the task the items are of; null until the first frame. */
  readonly run: string | null;
  /** Parties and their states; null until the first frame of `parties`. */
  readonly state: ITask | null;
  readonly stateChanged: ISignal<ITaskModel, void>;
  /** The task was run anew: all stores were cleared just before. */
  readonly runChanged: ISignal<ITaskModel, string>;
  readonly logs: IItems<ILogRecord>;
  readonly metrics: IItems<IPoint>;
  readonly messages: IItems<IMessage>;
  readonly timeline: IItems<IPhase>;
  readonly traffic: IItems<ITraffic>;
  /** What the server last complained of about this task; null when all is well. */
  readonly error: string | null;
  /**
   * Let these channels flow until the returned object is disposed. Channels are counted: several views may hold the same one.
   * After the last one is gone the items stay, and a later subscription continues after the last item.
   */
  subscribe(channels: readonly Channel[]): IDisposable;
  /** Fetch log lines older than the first one here. Resolves to whether there may be still older ones. */
  loadOlderLogs(limit?: number): Promise<boolean>;
}

/** The page's one live connection, and the models that it feeds. */
export interface ITaskHub {
  /** All tasks, newest first. */
  readonly tasks: readonly ITaskSummary[];
  readonly tasksChanged: ISignal<ITaskHub, void>;
  /** Whether the first list of tasks has come. */
  readonly ready: boolean;
  readonly connected: boolean;
  readonly connectedChanged: ISignal<ITaskHub, boolean>;
  /** The model of a task; the same object for the same id. */
  task(id: string): ITaskModel;
}

/** The task that panel, log view, charts and messages show. */
export interface ISelection {
  readonly current: string | null;
  readonly changed: ISignal<ISelection, string | null>;
  select(task: string | null): void;
}

/** The federations whose notebooks are open in this page. */
export interface IFederations {
  readonly all: readonly IFederation[];
  /** A federation came or went, or one of its notebooks was opened, closed, or its kernel changed its status. */
  readonly changed: ISignal<IFederations, void>;
  /** The federation that a notebook (or a folder) belongs to; null where it belongs to none. */
  of(path: string): Promise<IFederation | null>;
  /** Like `of`, for a notebook that is open and known already. */
  known(path: string): IFederation | null;
  /** The open federation with this task. */
  byTask(task: string): IFederation | null;
  /** The open notebook at this path. */
  panel(path: string): NotebookPanel | null;
}

export const ITaskHub = new Token<ITaskHub>(
  'playground-ext:ITaskHub',
  'Tasks of the Playground and their parties, logs, metrics and messages, live.'
);

export const ISelection = new Token<ISelection>('playground-ext:ISelection', 'The task that the views of the Playground show.');

export const IFederations = new Token<IFederations>(
  'playground-ext:IFederations',
  'Federations whose notebooks are open in this page.'
);

// ------------------------------------------------------------------------------------------------------------ commands

/** Commands that one plugin offers and others call. A command whose plugin is disabled is not there: ask `hasCommand`. */
export namespace CommandIDs {
  /** {template?: string}: the dialog of a template, or of the first. */
  export const create = 'playground:create';
  export const runAll = 'playground:run-all';
  export const interruptAll = 'playground:interrupt-all';
  export const restartAll = 'playground:restart-all';
  export const restartAndRunAll = 'playground:restart-and-run-all';
  export const runInBackground = 'playground:run-in-background';
  /** {task?}: open the notebooks of all its parties. */
  export const openAll = 'playground:open-notebooks';
  export const showPanel = 'playground:show-panel';
  /** {task, party}. */
  export const openNotebook = 'playground:open-notebook';
  /** {notebook: path, cell: index | null, execution_count?: number | null, line?: number | null}. */
  export const goToCell = 'playground:go-to-cell';
  /** {task, party}. */
  export const showTraceback = 'playground:show-traceback';
  /** {task?}: without it, the selected task. */
  export const openLogs = 'playground:open-logs';
  export const openCharts = 'playground:open-charts';
  export const openMessages = 'playground:open-messages';
  export const stop = 'playground:stop';
  export const rerun = 'playground:rerun';
  export const resume = 'playground:resume';
  /** {task?, party?, round?}: what is missing is asked for. */
  export const replay = 'playground:replay';
  export const remove = 'playground:delete';
  export const openFolder = 'playground:open-folder';
}

/** The `load` domain of all texts. */
export const DOMAIN = 'playground_ext';
