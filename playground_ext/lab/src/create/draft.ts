/** The form of the template that is chosen in the dialog; another template may be chosen meanwhile. */
import { TranslationBundle } from '@jupyterlab/translation';
import { ISignal, Signal } from '@lumino/signaling';
import { ITemplate } from '../tokens';
import { FederationForm } from './form';

export class Draft {
  constructor(options: Draft.IOptions) {
    this.templates = options.templates;
    this._trans = options.trans;
    this._form = this._make(options.template, options.directory);
  }

  readonly templates: readonly ITemplate[];

  get form(): FederationForm {
    return this._form;
  }

  /** Anything in the form changed, or it is another form. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Take another template; the folder stays, and what depends on the template starts anew. */
  choose(name: string): void {
    const template = this.templates.find(template => template.name === name);
    if (template !== undefined && template !== this._form.template) {
      Signal.clearData(this._form);
      this._form = this._make(template, this._form.value('directory'));
      this._form.setTaken(this._taken);
    }
  }

  /** Names that are taken in the folder. */
  setTaken(names: readonly string[]): void {
    this._taken = names;
    this._form.setTaken(names);
  }

  private _make(template: ITemplate, directory: string): FederationForm {
    const form = new FederationForm({ template, directory, trans: this._trans });
    form.changed.connect(() => this._changed.emit());
    return form;
  }

  private readonly _trans: TranslationBundle;
  private _taken: readonly string[] = [];
  private _form: FederationForm;
  private readonly _changed = new Signal<this, void>(this);
}

export namespace Draft {
  export interface IOptions {
    templates: readonly ITemplate[];
    template: ITemplate;
    directory: string;
    trans: TranslationBundle;
  }
}
