/** The order and the number of colours of a task's parties; display/colours.ts says which party has which. */
import { ITask } from './tokens';

/** How many `--pg-party-<n>` variables style/base.css defines, in a light and a dark set. */
export const PARTY_COLOURS = 12;

/** Roles in the order in which they come; within a role collaborator-2 before collaborator-10. */
export function inOrder<T extends { party: string; role: string }>(parties: readonly T[]): T[] {
  const roles = [...new Set(parties.map(party => party.role))];
  return [...parties].sort(
    (a, b) =>
      roles.indexOf(a.role) - roles.indexOf(b.role) || a.party.localeCompare(b.party, 'en', { numeric: true })
  );
}

/** Names of a task's parties in the order in which every view lists them. */
export function partyNames(state: ITask | null): string[] {
  return state === null ? [] : state.parties.map(party => party.party);
}
