/** Names of parties where there is little room. */

/** A name that fits into `columns` letters, cut in the middle: ends often differ (`hospital…-12`). */
export function shortName(name: string, columns: number): string {
  if (name.length <= columns) {
    return name;
  }
  const end = Math.floor((columns - 1) / 2);
  return `${name.slice(0, columns - 1 - end)}…${name.slice(name.length - end)}`;
}
