/** States in words and pictures; never by colour alone. */
import { TranslationBundle } from '@jupyterlab/translation';
import {
  checkIcon,
  circleEmptyIcon,
  errorIcon,
  historyIcon,
  LabIcon,
  offlineBoltIcon,
  runIcon,
  stopIcon
} from '@jupyterlab/ui-components';
import { RowStatus } from './rows';

const ICONS: { [status in RowStatus]: LabIcon } = {
  ready: circleEmptyIcon,
  waiting: historyIcon,
  running: runIcon,
  finished: checkIcon,
  failed: errorIcon,
  interrupted: stopIcon,
  abandoned: offlineBoltIcon,
  lost: offlineBoltIcon,
  missing: circleEmptyIcon
};

export function statusIcon(status: RowStatus): LabIcon {
  return ICONS[status] ?? circleEmptyIcon;
}

export function statusWord(status: RowStatus, trans: TranslationBundle): string {
  switch (status) {
    case 'ready':
      return trans.__('Not run yet');
    case 'waiting':
      return trans.__('Waiting');
    case 'running':
      return trans.__('Running');
    case 'finished':
      return trans.__('Finished');
    case 'failed':
      return trans.__('Failed');
    case 'interrupted':
      return trans.__('Interrupted');
    case 'abandoned':
      return trans.__('Abandoned');
    case 'lost':
      return trans.__('Lost');
    case 'missing':
      return trans.__('Not here yet');
    default:
      return status;
  }
}

/** What a kernel does whose notebook was not run yet. */
export function kernelText(status: string, trans: TranslationBundle): string {
  switch (status) {
    case 'idle':
      return trans.__('kernel idle');
    case 'busy':
      return trans.__('kernel busy');
    case 'dead':
      return trans.__('kernel dead');
    case 'restarting':
    case 'autorestarting':
      return trans.__('kernel restarting');
    case 'starting':
    case 'initializing':
    case 'connecting':
      return trans.__('kernel starting');
    default:
      return trans.__('kernel %1', status);
  }
}

/** `round 3/5`, `round 3`, or nothing. */
export function roundText(row: { round: number | null; rounds: number | null }, trans: TranslationBundle): string {
  if (row.round === null) {
    return '';
  }
  return row.rounds === null ? trans.__('round %1', row.round) : trans.__('round %1/%2', row.round, row.rounds);
}

/** `just now`, `12 s ago`, `5 min ago`, `3 h ago`, or the date. */
export function agoText(time: number, now: number, trans: TranslationBundle): string {
  const seconds = Math.max(0, now - time);
  if (seconds < 2) {
    return trans.__('just now');
  }
  if (seconds < 60) {
    return trans.__('%1 s ago', Math.floor(seconds));
  }
  if (seconds < 3600) {
    return trans.__('%1 min ago', Math.floor(seconds / 60));
  }
  if (seconds < 24 * 3600) {
    return trans.__('%1 h ago', Math.floor(seconds / 3600));
  }
  return new Date(time * 1000).toLocaleDateString();
}
