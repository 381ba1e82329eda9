/** What templates and parties say in English, in the user's language where the catalogue has it. */
import type { TranslationBundle } from '@jupyterlab/translation';

/** A title, description or help of a template. Those of the user's own templates stay as they are. */
export function templateText(text: string, trans: TranslationBundle): string {
  return text && trans._p('template', text);
}

/** What a party says it is doing. Words of the user's own scheduler stay as they are. */
export function stateText(state: string, trans: TranslationBundle): string {
  return state && trans._p('state', state);
}
