/** The dialog of a template. It closes only when the server has made the federation, or when the user gives up. */
import { Dialog } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { templateText } from '../display/said';
import { explained } from '../report';
import { RequestError } from '../request';
import { IFederation } from '../tokens';
import { CreateBody } from './body';
import { Draft } from './draft';
import { IFederationRequest } from './form';

export class CreateDialog extends Dialog<void> {
  /** @param create - makes the federation; what it throws is shown in the dialog. */
  constructor(draft: Draft, create: (request: IFederationRequest) => Promise<IFederation>, trans: TranslationBundle) {
    super({
      title: draft.templates.length > 1 ? trans.__('New federation') : templateText(draft.form.template.title, trans),
      body: new CreateBody(draft, trans),
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Create and open') })],
      focusNodeSelector: '.pg-Create-name'
    });
    this.addClass('pg-CreateDialog');
    this._draft = draft;
    this._create = create;
    draft.changed.connect(this._enable, this);
    void this.ready.then(() => this._enable());
  }

  /** What was made; null until then. */
  get federation(): IFederation | null {
    return this._federation;
  }

  override resolve(index = ACCEPT): void {
    if (index !== ACCEPT) {
      super.resolve(index);
    } else if (this._draft.form.valid && !this._busy) {
      void this._submit();
    }
  }

  override dispose(): void {
    this._draft.changed.disconnect(this._enable, this);
    super.dispose();
  }

  private async _submit(): Promise<void> {
    const form = this._draft.form;
    this._busy = true;
    this._enable();
    try {
      form.fail(null);
      this._federation = await this._create(form.request());
    } catch (error) {
      if (error instanceof RequestError && error.field !== null) {
        form.refuse(error.field, explained(error));
      } else if (error instanceof RequestError && error.status === 409) {
        form.refuse('name', explained(error));
      } else {
        form.fail(explained(error));
      }
    } finally {
      this._busy = false;
      this._enable();
    }
    if (this._federation !== null) {
      super.resolve(ACCEPT);
    }
  }

  private _enable(): void {
    const button = this.node.querySelector<HTMLButtonElement>('.jp-Dialog-button.jp-mod-accept');
    if (button !== null) {
      button.disabled = this._busy || !this._draft.form.valid;
      button.classList.toggle('pg-mod-busy', this._busy);
    }
  }

  private readonly _draft: Draft;
  private readonly _create: (request: IFederationRequest) => Promise<IFederation>;
  private _federation: IFederation | null = null;
  private _busy = false;
}

/** Place of the accepting button. */
const ACCEPT = 1;
