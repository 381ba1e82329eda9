/** Going to the place in a notebook where something failed. */
import { CodeCell } from '@jupyterlab/cells';
import { Notebook } from '@jupyterlab/notebook';
import { findCell, ICellPlace } from './place';

const ATTEMPTS = 50;

/** How many times in a row the cell has to be in view. */
const STEADY = 6;

/** Milliseconds in which a notebook draws the cells that came into view. */
const DRAWING = 100;

/** Select the cell, bring it into view, and put the cursor into the line. */
export async function goToCell(notebook: Notebook, place: ICellPlace): Promise<void> {
  const counts = notebook.widgets.map(cell => (cell instanceof CodeCell ? cell.model.executionCount : null));
  const index = findCell(counts, place);
  if (index < 0) {
    return;
  }
  notebook.mode = 'command';
  notebook.deselectAll();
  notebook.activeCellIndex = index;
  const cell = notebook.widgets[index];
  await cell.ready;
  if (place.line !== null && cell.editor !== null && place.line <= cell.editor.lineCount) {
    cell.editor.setCursorPosition({ line: place.line - 1, column: 0 });
    cell.editor.revealPosition({ line: place.line - 1, column: 0 });
  }
  notebook.activate();
  await bringIntoView(notebook, index); // the editor may have made the cells above higher
}

/** Scroll until the cell stays in view: a notebook that was never shown guesses the heights of its cells, and they grow when drawn. */
async function bringIntoView(notebook: Notebook, index: number): Promise<void> {
  const cell = notebook.widgets[index];
  let seen = 0;
  for (let attempt = 0; attempt < ATTEMPTS && seen < STEADY && !notebook.isDisposed; attempt++) {
    if (isInView(notebook, cell.node)) {
      seen += 1;
    } else if (cell.node.isConnected) {
      seen = 0;
      cell.node.scrollIntoView({ block: 'center' });
    } else {
      void notebook.scrollToItem(index, 'center').catch(() => undefined); // its promise may stay open while tabs change
    }
    await new Promise(resolve => setTimeout(resolve, DRAWING));
  }
}

function isInView(notebook: Notebook, node: HTMLElement): boolean {
  const outer = notebook.node.getBoundingClientRect();
  const inner = node.getBoundingClientRect();
  return node.isConnected && inner.height > 0 && inner.top >= outer.top && inner.top < outer.bottom - 40;
}
