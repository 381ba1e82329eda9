/** How errors of commands are shown. */
import { showErrorMessage } from '@jupyterlab/apputils';
import { RequestError } from './request';

/** What went wrong, and below it what to do about it. */
export function explained(error: unknown): string {
  if (error instanceof RequestError && error.nextStep) {
    return `${error.message}\n${error.nextStep}`;
  }
  return error instanceof Error ? error.message : String(error);
}

/** Show an error of a command that the user asked for. */
export async function report(title: string, error: unknown): Promise<void> {
  console.error(`playground-ext: ${title}`, error);
  await showErrorMessage(title, { message: explained(error) });
}
