/** What log view, charts and messages share: one main-area widget per task, a command, the palette, and their return after a reload. */
import { ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';
import type { ISelection, ITaskHub, ITaskModel } from '../tokens';

/** A view of one task. */
export interface ITaskContent extends Widget {
  readonly task: string;
  /** Look at one party, as far as the view can. */
  showParty?(party: string): void;
}

export interface ITaskView {
  app: JupyterFrontEnd;
  hub: ITaskHub;
  selection: ISelection;
  palette: ICommandPalette | null;
  restorer: ILayoutRestorer | null;
  trans: TranslationBundle;
  /** Part of the widgets' ids: `logs`. */
  kind: string;
  command: string;
  /** Of the command: "Open Log View". */
  label: string;
  caption: string;
  /** Before the task's name on the tab: "Log". */
  title: string;
  icon: LabIcon;
  create(model: ITaskModel): ITaskContent;
}

/** Offer a kind of view. A second opening for the same task reveals the first. */
export function addTaskView(view: ITaskView): WidgetTracker<MainAreaWidget<ITaskContent>> {
  const { app, hub, selection, kind, trans } = view;
  const tracker = new WidgetTracker<MainAreaWidget<ITaskContent>>({ namespace: `playground-${kind}` });

  const chosen = (task: unknown): string | null =>
    typeof task === 'string' && task ? task : (selection.current ?? hub.tasks[0]?.task ?? null);

  const open = (task: string): MainAreaWidget<ITaskContent> => {
    const found = tracker.find(widget => widget.content.task === task);
    if (found) {
      return found;
    }
    const content = view.create(hub.task(task));
    const widget = new MainAreaWidget({ content });
    widget.toolbar.hide(); // a view has its own
    widget.id = `playground-${kind}-${task}`;
    widget.title.label = `${view.title}: ${task}`;
    widget.title.caption = `${view.title}: ${task}`;
    widget.title.icon = view.icon;
    widget.title.closable = true;
    void tracker.add(widget);
    return widget;
  };

  app.commands.addCommand(view.command, {
    label: view.label,
    caption: view.caption,
    icon: args => (args['isPalette'] ? undefined : view.icon),
    isEnabled: args => chosen(args['task']) !== null,
    describedBy: {
      args: {
        type: 'object',
        properties: {
          task: { type: 'string', description: trans.__('The task; without it, the selected or the newest one') },
          party: { type: 'string', description: trans.__('Show only this party') }
        }
      }
    },
    execute: args => {
      const task = chosen(args['task']);
      if (task === null) {
        return null;
      }
      const widget = open(task);
      if (!widget.isAttached) {
        app.shell.add(widget, 'main', { activate: false });
      }
      if (typeof args['party'] === 'string') {
        widget.content.showParty?.(args['party']);
      }
      app.shell.activateById(widget.id);
      return widget;
    }
  });

  view.palette?.addItem({ command: view.command, category: trans.__('Federations'), args: { isPalette: true } });
  const refresh = () => app.commands.notifyCommandChanged(view.command);
  hub.tasksChanged.connect(refresh);
  selection.changed.connect(refresh);

  void view.restorer?.restore(tracker, {
    command: view.command,
    args: widget => ({ task: widget.content.task }),
    name: widget => widget.content.task
  });
  return tracker;
}
