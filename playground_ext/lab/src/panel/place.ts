/** Which cell of a notebook a failure means. */

export interface ICellPlace {
  /** Index in the notebook's file. */
  index: number | null;
  /** Number in the cell's prompt. It decides: cells may have been inserted since the file was saved. */
  executionCount: number | null;
  /** Line within the cell, from 1. */
  line: number | null;
}

/** Index of the cell that is meant; -1 where the notebook has no such cell any more. */
export function findCell(counts: readonly (number | null)[], place: ICellPlace): number {
  const executed = place.executionCount === null ? -1 : counts.lastIndexOf(place.executionCount);
  if (executed >= 0) {
    return executed;
  }
  return place.index !== null && place.index < counts.length ? place.index : -1;
}
