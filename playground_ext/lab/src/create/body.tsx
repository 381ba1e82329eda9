/** The fields of a template's dialog. */
import { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect, ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import React from 'react';
import { templateText } from '../display/said';
import { IParameter, IRole } from '../tokens';
import { Draft } from './draft';
import { countRange, FederationForm, isCountFixed } from './form';

interface IFieldProps {
  form: FederationForm;
  field: string;
  label: string;
  help?: string;
  /** Shown small behind the label: a range, a unit. */
  hint?: string;
  children: (props: IControlProps) => JSX.Element;
}

interface IControlProps {
  id: string;
  value: string;
  'aria-invalid': boolean;
  'aria-describedby': string | undefined;
  onChange: (event: React.ChangeEvent<HTMLInputElement | HTMLSelectElement>) => void;
}

/** A label, its control, and below them what it is for or what is wrong with it. */
function Field({ form, field, label, help, hint, children }: IFieldProps): JSX.Element {
  const id = `pg-create-${field.replace(/[^A-Za-z0-9_-]/g, '-')}`;
  const error = form.error(field);
  const about = error ?? help;
  return (
    <div className={`pg-Field${error !== null ? ' jp-mod-error' : ''}`}>
      <label htmlFor={id} title={label}>
        {label}
      </label>
      <div className="pg-Field-control">
        {children({
          id,
          value: form.value(field),
          'aria-invalid': error !== null,
          'aria-describedby': about ? `${id}-about` : undefined,
          onChange: event => form.set(field, event.target.value)
        })}
        {hint && <span className="pg-Field-hint">{hint}</span>}
      </div>
      {about && (
        <div id={`${id}-about`} className={error !== null ? 'pg-Field-error' : 'pg-Field-help'} role={error !== null ? 'alert' : undefined}>
          {about}
        </div>
      )}
    </div>
  );
}

/** `1 – 1000`, `at least 1`; empty where there are no bounds. */
function rangeHint(minimum: number | null, maximum: number | null, trans: TranslationBundle): string {
  if (minimum !== null && maximum !== null) {
    return `${minimum} – ${maximum}`;
  }
  return minimum !== null ? trans.__('at least %1', minimum) : maximum !== null ? trans.__('at most %1', maximum) : '';
}

function ParameterField({ form, parameter, trans }: { form: FederationForm; parameter: IParameter; trans: TranslationBundle }): JSX.Element {
  const field = `parameters.${parameter.name}`;
  const common = { form, field, label: parameter.name.replace(/_/g, ' '), help: templateText(parameter.help, trans) };
  switch (parameter.type) {
    case 'choice':
      return (
        <Field {...common}>
          {props => (
            <HTMLSelect {...props}>
              {(parameter.choices ?? []).map(choice => (
                <option key={String(choice)} value={String(choice)}>
                  {String(choice)}
                </option>
              ))}
            </HTMLSelect>
          )}
        </Field>
      );
    case 'boolean':
      return (
        <Field {...common}>
          {({ value, onChange, ...props }) => (
            <input {...props} type="checkbox" checked={value === 'true'} onChange={event => form.set(field, String(event.target.checked))} />
          )}
        </Field>
      );
    case 'integer':
    case 'number':
      return (
        <Field {...common} hint={rangeHint(parameter.minimum, parameter.maximum, trans)}>
          {props => (
            <input
              {...props}
              className="jp-mod-styled"
              type="number"
              step={parameter.type === 'integer' ? 1 : 'any'}
              min={parameter.minimum ?? undefined}
              max={parameter.maximum ?? undefined}
            />
          )}
        </Field>
      );
    default:
      return <Field {...common}>{props => <input {...props} className="jp-mod-styled" type="text" spellCheck={false} />}</Field>;
  }
}

function RoleField({ form, role, trans }: { form: FederationForm; role: IRole; trans: TranslationBundle }): JSX.Element {
  const range = countRange(role);
  return (
    <Field
      form={form}
      field={`roles.${role.name}`}
      label={templateText(role.title ?? role.name, trans)}
      help={templateText(role.description ?? '', trans)}
      hint={isCountFixed(role) ? trans.__('always') : rangeHint(range.minimum, range.maximum, trans)}
    >
      {props => (
        <input
          {...props}
          className="jp-mod-styled"
          type="number"
          step={1}
          min={range.minimum}
          max={range.maximum}
          readOnly={isCountFixed(role)}
        />
      )}
    </Field>
  );
}

function Body({ draft, trans }: { draft: Draft; trans: TranslationBundle }): JSX.Element {
  const { form, templates } = draft;
  const { template } = form;
  return (
    <div className="pg-Create" key={template.name}>
      {templates.length > 1 && (
        <div className="pg-Field pg-Create-template">
          <label htmlFor="pg-create-template">{trans.__('Template')}</label>
          <div className="pg-Field-control">
            <HTMLSelect
              id="pg-create-template"
              value={template.name}
              onChange={event => draft.choose(event.target.value)}
            >
              {templates.map(({ name, title }) => (
                <option key={name} value={name}>
                  {templateText(title, trans)}
                </option>
              ))}
            </HTMLSelect>
          </div>
        </div>
      )}
      <p className="pg-Create-about">{templateText(template.description, trans)}</p>
      {form.failure !== null && (
        <div className="pg-Create-failure" role="alert">
          {form.failure}
        </div>
      )}
      <fieldset>
        <legend>{trans.__('Where')}</legend>
        <div className="pg-Create-fields">
          <Field form={form} field="name" label={trans.__('Name')} help={trans.__('Of the task and of its folder')}>
            {props => <input {...props} className="jp-mod-styled pg-Create-name" type="text" spellCheck={false} autoComplete="off" />}
          </Field>
          <Field form={form} field="directory" label={trans.__('In folder')} help={trans.__('Empty: where JupyterLab was started')}>
            {props => <input {...props} className="jp-mod-styled" type="text" spellCheck={false} autoComplete="off" placeholder="/" />}
          </Field>
        </div>
      </fieldset>
      <fieldset>
        <legend>{trans.__('Parties')}</legend>
        <div className="pg-Create-fields">
          {template.roles.map(role => (
            <RoleField key={role.name} form={form} role={role} trans={trans} />
          ))}
        </div>
      </fieldset>
      {template.parameters.length > 0 && (
        <fieldset>
          <legend>{trans.__('Parameters')}</legend>
          <div className="pg-Create-fields">
            {template.parameters.map(parameter => (
              <ParameterField key={parameter.name} form={form} parameter={parameter} trans={trans} />
            ))}
          </div>
        </fieldset>
      )}
      <p className="pg-Create-summary" aria-live="polite">
        {form.parties === 1
          ? trans.__('One notebook will be opened.')
          : trans.__('%1 notebooks will be opened, each with its own kernel.', form.parties)}
      </p>
    </div>
  );
}

export class CreateBody extends ReactWidget {
  constructor(draft: Draft, trans: TranslationBundle) {
    super();
    this._draft = draft;
    this._trans = trans;
    this.addClass('pg-Create-body');
  }

  protected override render(): JSX.Element {
    return <UseSignal signal={this._draft.changed}>{() => <Body draft={this._draft} trans={this._trans} />}</UseSignal>;
  }

  private readonly _draft: Draft;
  private readonly _trans: TranslationBundle;
}
