/** Pictures of the extension. They take their colours from the theme. */
import { LabIcon } from '@jupyterlab/ui-components';
import charts from '../style/icons/charts.svg';
import federation from '../style/icons/federation.svg';
import interruptAll from '../style/icons/interrupt-all.svg';
import logs from '../style/icons/logs.svg';
import messages from '../style/icons/messages.svg';
import restartAll from '../style/icons/restart-all.svg';
import restartAndRunAll from '../style/icons/restart-and-run-all.svg';
import runAll from '../style/icons/run-all.svg';
import runInBackground from '../style/icons/run-in-background.svg';
import average from '../style/icons/template-average.svg';
import intersection from '../style/icons/template-intersection.svg';
import other from '../style/icons/template-other.svg';
import split from '../style/icons/template-split.svg';
import table from '../style/icons/template-table.svg';

function icon(name: string, svgstr: string): LabIcon {
  return new LabIcon({ name: `playground-ext:${name}`, svgstr });
}

export const federationIcon = icon('federation', federation);
export const runAllIcon = icon('run-all', runAll);
export const interruptAllIcon = icon('interrupt-all', interruptAll);
export const restartAllIcon = icon('restart-all', restartAll);
export const restartAndRunAllIcon = icon('restart-and-run-all', restartAndRunAll);
export const runInBackgroundIcon = icon('run-in-background', runInBackground);
export const chartsIcon = icon('charts', charts);
export const logsIcon = icon('logs', logs);
export const messagesIcon = icon('messages', messages);

const averageIcon = icon('template-average', average);
const otherTemplateIcon = icon('template-other', other);
const templateIcons = new Map([
  ['fed_avg', averageIcon],
  ['dp_fed_avg', averageIcon],
  ['fed_prox', averageIcon],
  ['secure_fed_avg', averageIcon],
  ['hetero_nn', icon('template-split', split)],
  ['hetero_tabular', icon('template-table', table)],
  ['psi', icon('template-intersection', intersection)]
]);

/** The picture of a template on its tile; templates of users share one. */
export function templateIcon(template: string): LabIcon {
  return templateIcons.get(template) ?? otherTemplateIcon;
}
