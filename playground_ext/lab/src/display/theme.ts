/** When colours change: canvas has to be drawn again. */
import { DisposableDelegate, IDisposable } from '@lumino/disposable';

/** Call back after each change of the theme, when the new colours can be read. */
export function onThemeChange(callback: () => void): IDisposable {
  const observer = new MutationObserver(() => requestAnimationFrame(callback));
  observer.observe(document.body, { attributes: true, attributeFilter: ['data-jp-theme-light', 'data-jp-theme-name'] });
  return new DisposableDelegate(() => observer.disconnect());
}

/** Value of a custom property, as canvas needs it. */
export function cssValue(property: string, element: Element = document.body): string {
  return getComputedStyle(element).getPropertyValue(property).trim();
}
