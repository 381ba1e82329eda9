/** The dialog that shows a party's traceback. */
import { Clipboard, Dialog } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';
import { IFailure } from '../tokens';

/** @returns whether the user wants to go to the cell. */
export async function showTraceback(failure: IFailure, trans: TranslationBundle): Promise<boolean> {
  const canGo = failure.notebook !== null;
  const go = Dialog.okButton({ label: trans.__('Go to cell') });
  const close = Dialog.cancelButton({ label: trans.__('Close') });
  const dialog = new Dialog({
    title: trans.__('%1 failed: %2', failure.party, failure.kind),
    body: traceback(failure, trans),
    buttons: canGo ? [close, go] : [close]
  });
  dialog.addClass('pg-TracebackDialog');
  const { button } = await dialog.launch();
  return canGo && button.accept;
}

function traceback(failure: IFailure, trans: TranslationBundle): Widget {
  const body = new Widget();
  body.addClass('pg-Traceback');
  const text = document.createElement('pre');
  text.textContent = failure.traceback || `${failure.kind}: ${failure.message}`;
  text.tabIndex = 0; // can be scrolled with the keyboard
  text.setAttribute('aria-label', trans.__('Traceback of %1', failure.party));
  const copy = document.createElement('button');
  copy.className = 'pg-Link';
  copy.textContent = trans.__('Copy');
  copy.onclick = () => {
    Clipboard.copyToSystem(text.textContent ?? '');
    copy.textContent = trans.__('Copied');
  };
  const where = document.createElement('div');
  where.className = 'pg-Traceback-where';
  where.append(place(failure, trans), copy);
  body.node.append(where, text);
  return body;
}

/** `collaborator-1.ipynb, cell 4, line 12`: as far as it is known. Cells are counted from 1, as people do. */
function place(failure: IFailure, trans: TranslationBundle): string {
  const parts = [failure.notebook?.split('/').pop() ?? failure.party];
  if (failure.cell !== null) {
    parts.push(trans.__('cell %1', failure.cell + 1));
  } else if (failure.execution_count != null) {
    parts.push(trans.__('cell [%1]', failure.execution_count));
  }
  if (failure.line !== null) {
    parts.push(trans.__('line %1', failure.line));
  }
  return parts.join(', ');
}
