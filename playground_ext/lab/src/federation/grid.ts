/** Where the notebooks of a federation go on the screen. */

/** How many notebooks are seen at once; further ones are tabs behind them. */
export const CELLS = 4;

export interface IPlacement {
  /** Index of the party's notebook. */
  index: number;
  /** Index of the notebook beside which it is put, opened earlier; null for the first one. */
  beside: number | null;
  mode: 'split-right' | 'split-bottom' | 'tab-after' | null;
}

const BESIDE: { [count: number]: IPlacement[] } = {
  1: [],
  2: [{ index: 1, beside: 0, mode: 'split-right' }],
  3: [
    { index: 1, beside: 0, mode: 'split-right' },
    { index: 2, beside: 1, mode: 'split-bottom' }
  ],
  4: [
    { index: 1, beside: 0, mode: 'split-right' },
    { index: 2, beside: 0, mode: 'split-bottom' },
    { index: 3, beside: 1, mode: 'split-bottom' }
  ]
};

/**
 * In which order and where to open `count` notebooks: 2 left and right, 3 one left and two right, 4 as 2×2 in reading order, more
 * as tabs in those cells in turn. A split halves the notebook beside which it happens, so the area is bisected rather than
 * cut off from one end: chained splits would give widths of 50, 25, 12 %.
 */
export function grid(count: number): IPlacement[] {
  if (count === 0) {
    return [];
  }
  const placements: IPlacement[] = [{ index: 0, beside: null, mode: null }, ...BESIDE[Math.min(count, CELLS)]];
  for (let index = CELLS; index < count; index++) {
    placements.push({ index, beside: index - CELLS, mode: 'tab-after' });
  }
  return placements;
}
