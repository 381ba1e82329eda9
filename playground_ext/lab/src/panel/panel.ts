/** The Federations panel in the left area. */
import { ITranslator } from '@jupyterlab/translation';
import { CommandToolbarButton, SidePanel } from '@jupyterlab/ui-components';
import { AccordionPanel } from '@lumino/widgets';
import { federationIcon } from '../icons';
import { CommandIDs } from '../tokens';
import { PartiesSection } from './parties';
import { IPanelOptions, TasksSection } from './tasks';

export class FederationPanel extends SidePanel {
  constructor(options: IPanelOptions & { translator: ITranslator }) {
    super({ translator: options.translator });
    const { commands, trans } = options;
    this.id = 'playground-ext-panel';
    this.addClass('pg-Panel');
    this.title.icon = federationIcon;
    this.title.caption = trans.__('Federations');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Federations'));
    this.toolbar.addItem(
      'create',
      new CommandToolbarButton({ commands, id: CommandIDs.create, label: trans.__('New federation…') })
    );
    this.addWidget(new TasksSection(options));
    this.addWidget(new PartiesSection(options));
    (this.content as AccordionPanel).setRelativeSizes([2, 3]);
  }
}
