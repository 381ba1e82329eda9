/** The one place that talks to the server's routes, and turns what it answers into values or errors. */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

/** Everything that the server extension serves lies below this, below the base URL. */
const ROOT = 'playground';

/** The server refused, or could not be reached. `message` says what; `nextStep` what to do about it. */
export class RequestError extends Error {
  /** HTTP status; 0: no answer came. */
  readonly status: number;
  readonly nextStep: string | null;
  readonly party: string | null;
  /** Name of the field of the request that is at fault. */
  readonly field: string | null;

  constructor(options: RequestError.IOptions) {
    super(options.message);
    this.name = 'RequestError';
    this.status = options.status;
    this.nextStep = options.nextStep ?? null;
    this.party = options.party ?? null;
    this.field = options.field ?? null;
  }
}

export namespace RequestError {
  export interface IOptions {
    status: number;
    message: string;
    nextStep?: string | null;
    party?: string | null;
    field?: string | null;
  }
}

export type Method = 'GET' | 'POST' | 'DELETE';

/** Parts of a path, each escaped: `route('tasks', task, 'logs')`. */
export function route(...parts: string[]): string {
  return parts.map(encodeURIComponent).join('/');
}

/**
 * Call a route of the server extension.
 *
 * @throws RequestError - whatever goes wrong, also if the server is unreachable or answers no JSON.
 */
export async function request<T>(
  path: string,
  options: { method?: Method; query?: { [name: string]: string | number }; body?: unknown } = {}
): Promise<T> {
  const settings = ServerConnection.makeSettings();
  const query = options.query
    ? URLExt.objectToQueryString(Object.fromEntries(Object.entries(options.query).map(([name, value]) => [name, String(value)])))
    : '';
  const init: RequestInit = { method: options.method ?? 'GET' };
  if (options.body !== undefined) {
    init.body = JSON.stringify(options.body);
  }
  let response: Response;
  let text: string;
  try {
    response = await ServerConnection.makeRequest(URLExt.join(settings.baseUrl, ROOT, path) + query, init, settings);
    text = await response.text();
  } catch (error) {
    throw new RequestError({ status: 0, message: `The Jupyter server does not answer: ${(error as Error).message}` });
  }
  return answer<T>(response.status, text);
}

/** The value in an answer. */
export function answer<T>(status: number, text: string): T {
  let body: unknown;
  try {
    body = text ? JSON.parse(text) : undefined;
  } catch {
    body = undefined;
  }
  if (status >= 200 && status < 300) {
    if (body === undefined && text) {
      throw new RequestError({ status, message: 'The Jupyter server answered something that is not JSON.' });
    }
    return body as T;
  }
  const fields = (body ?? {}) as { message?: string; next_step?: string; party?: string; field?: string };
  const unknown =
    status === 404 && !fields.next_step
      ? 'The Jupyter server does not know this address. Is its extension enabled (jupyter server extension list)?'
      : `The Jupyter server refused with status ${status}.`;
  throw new RequestError({
    status,
    message: fields.message || unknown,
    nextStep: fields.next_step,
    party: fields.party,
    field: fields.field
  });
}

/** Address of the live websocket; asked anew for each connection because the token may have changed. */
export function liveUrl(): string {
  const settings = ServerConnection.makeSettings();
  const url = URLExt.join(settings.wsUrl, ROOT, 'live');
  return settings.token && settings.appendToken ? `${url}?token=${encodeURIComponent(settings.token)}` : url;
}

/** Open the live websocket with the settings of this page. */
export function openLive(): WebSocket {
  return new (ServerConnection.makeSettings().WebSocket)(liveUrl());
}
