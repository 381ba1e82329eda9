/** The extension: a list of plugins, each of which can be disabled. */
import { JupyterFrontEndPlugin } from '@jupyterlab/application';
import chartsPlugin from './charts';
import { federationsPlugin, hubPlugin, selectionPlugin } from './core';
import { createPlugin } from './create';
import { notebooksPlugin } from './federation';
import logsPlugin from './logs';
import messagesPlugin from './messages';
import { panelPlugin } from './panel';
import { statusPlugin } from './status';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  hubPlugin,
  selectionPlugin,
  federationsPlugin,
  createPlugin,
  notebooksPlugin,
  panelPlugin,
  statusPlugin,
  logsPlugin,
  chartsPlugin,
  messagesPlugin
];

export default plugins;
