/** Log lines as plain text, to be copied and saved. */
import type { ILogRecord } from '../tokens';
import { dateText } from '../display/numbers';
import { plainText } from './rows';

/** Follows the row at whose end a line was broken only because it was too long; copying takes both away. */
export const SOFT_BREAK = '\u200b\n';

/** `2026-10-15 14:03:07 WARNING collaborator-1 (round 2): text`. */
export function recordText(record: ILogRecord): string {
  const round = record.round === null ? '' : ` (round ${record.round})`;
  return `${dateText(record.time)} ${record.level} ${record.party}${round}: ${plainText(record.text)}`;
}

/** Several lines. */
export function recordsText(records: Iterable<ILogRecord>): string {
  const parts: string[] = [];
  for (const record of records) {
    parts.push(recordText(record));
  }
  return parts.join('\n') + (parts.length ? '\n' : '');
}

/** What was selected within one line, without the breaks that the view made. */
export function selectedText(selected: string): string {
  return selected.split(SOFT_BREAK).join('');
}
