/** Names of parties and tasks where there is little room. */

/** A name that fits into `columns` letters, cut in the middle: ends often differ (`hospital…-12`). */
export function shortName(name: string, columns: number): string {
  if (name.length <= columns) {
    return name;
  }
  const end = Math.floor((columns - 1) / 2);
  return `${name.slice(0, columns - 1 - end)}…${name.slice(name.length - end)}`;
}

const END = 7; // letters; `-011`, the time of a run

/** A name in two parts, of which the first may be cut by an ellipsis: its end stays in sight. */
export function nameParts(name: string): [string, string] {
  return name.length > 2 * END ? [name.slice(0, -END), name.slice(-END)] : [name, ''];
}
