/** What is typed into the dialog of a template, and what is wrong with it. */
import { ISignal, Signal } from '@lumino/signaling';
import { TranslationBundle } from '@jupyterlab/translation';
import { IParameter, IRole, ITemplate, ParameterValue } from '../tokens';

/** Parties of one federation that a page can reasonably show; roles without a maximum end here. */
const MOST_PARTIES = 32;

const NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** The body of POST federations. */
export interface IFederationRequest {
  template: string;
  name: string;
  directory: string;
  roles: { [role: string]: number };
  parameters: { [name: string]: ParameterValue };
}

/** Fields have keys: `name`, `directory`, `roles.<role>`, `parameters.<parameter>`. */
export class FederationForm {
  constructor(options: FederationForm.IOptions) {
    this.template = options.template;
    this._trans = options.trans;
    this._taken = new Set(options.taken ?? []);
    this._values.set('name', freeName(options.template.name, this._taken));
    this._values.set('directory', options.directory ?? '');
    for (const role of options.template.roles) {
      this._values.set(`roles.${role.name}`, String(role.count));
    }
    for (const parameter of options.template.parameters) {
      this._values.set(`parameters.${parameter.name}`, String(parameter.default));
    }
  }

  readonly template: ITemplate;

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** What is in a field, as typed. */
  value(field: string): string {
    return this._values.get(field) ?? '';
  }

  set(field: string, value: string): void {
    this._values.set(field, value);
    this._refused.delete(field);
    this._failure = null;
    this._changed.emit();
  }

  /** Names that are taken in the folder; the proposed name gives way unless it was edited. */
  setTaken(names: Iterable<string>): void {
    const proposed = freeName(this.template.name, this._taken);
    this._taken = new Set(names);
    if (this.value('name') === proposed) {
      this._values.set('name', freeName(this.template.name, this._taken));
    }
    this._changed.emit();
  }

  /** The server refused a field's value; forgotten when the field is edited. */
  refuse(field: string, message: string): void {
    const known = [field, `parameters.${field}`, `roles.${field}`].find(key => this._values.has(key));
    if (known === undefined) {
      this.fail(message);
      return;
    }
    this._refused.set(known, message);
    this._changed.emit();
  }

  /** The server refused for a reason that is no single field's. */
  fail(message: string | null): void {
    this._failure = message;
    this._changed.emit();
  }

  get failure(): string | null {
    return this._failure;
  }

  /** What is wrong with a field; null when nothing is. */
  error(field: string): string | null {
    const refused = this._refused.get(field);
    if (refused !== undefined) {
      return refused;
    }
    if (field === 'name') {
      return this._nameError();
    }
    if (field.startsWith('roles.')) {
      const role = this.template.roles.find(role => `roles.${role.name}` === field);
      return role === undefined ? null : this._numberError(this.value(field), { ...countRange(role), whole: true });
    }
    const parameter = this.template.parameters.find(parameter => `parameters.${parameter.name}` === field);
    if (parameter === undefined || (parameter.type !== 'integer' && parameter.type !== 'number')) {
      return null;
    }
    return this._numberError(this.value(field), {
      minimum: parameter.minimum,
      maximum: parameter.maximum,
      whole: parameter.type === 'integer'
    });
  }

  get valid(): boolean {
    return [...this._values.keys()].every(field => this.error(field) === null);
  }

  /** How many notebooks there will be. */
  get parties(): number {
    return this.template.roles.reduce((sum, role) => sum + (Number(this.value(`roles.${role.name}`)) || 0), 0);
  }

  /** @throws Error - while the form is not valid. */
  request(): IFederationRequest {
    if (!this.valid) {
      throw new Error('The form is not valid.');
    }
    const roles = this.template.roles.map(role => [role.name, Number(this.value(`roles.${role.name}`))]);
    const parameters = this.template.parameters.map(parameter => [
      parameter.name,
      parsed(parameter, this.value(`parameters.${parameter.name}`))
    ]);
    return {
      template: this.template.name,
      name: this.value('name').trim(),
      directory: this.value('directory').trim().replace(/^\/+|\/+$/g, ''),
      roles: Object.fromEntries(roles),
      parameters: Object.fromEntries(parameters)
    };
  }

  private _nameError(): string | null {
    const name = this.value('name').trim();
    if (name === '') {
      return this._trans.__('A name is needed; the folder gets it.');
    }
    if (!NAME.test(name)) {
      return this._trans.__('Letters, digits, - and _ only, at most 64.');
    }
    if (this._taken.has(name)) {
      return this._trans.__('There is a folder of that name; %1 is free.', freeName(name, this._taken));
    }
    return null;
  }

  private _numberError(text: string, range: { minimum: number | null; maximum: number | null; whole: boolean }): string | null {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value)) {
      return this._trans.__('A number is needed.');
    }
    if (range.whole && !Number.isInteger(value)) {
      return this._trans.__('A whole number is needed.');
    }
    if (range.minimum !== null && value < range.minimum) {
      return this._trans.__('At least %1.', range.minimum);
    }
    if (range.maximum !== null && value > range.maximum) {
      return this._trans.__('At most %1.', range.maximum);
    }
    return null;
  }

  private readonly _trans: TranslationBundle;
  private readonly _values = new Map<string, string>();
  private readonly _refused = new Map<string, string>();
  private _taken: Set<string>;
  private _failure: string | null = null;
  private readonly _changed = new Signal<this, void>(this);
}

export namespace FederationForm {
  export interface IOptions {
    template: ITemplate;
    trans: TranslationBundle;
    directory?: string;
    /** Names that exist in the directory. */
    taken?: Iterable<string>;
  }
}

/** How many parties a role may have. */
export function countRange(role: IRole): { minimum: number; maximum: number } {
  return { minimum: role.minimum, maximum: role.maximum ?? MOST_PARTIES };
}

/** Whether the number of parties of a role can be chosen at all. */
export function isCountFixed(role: IRole): boolean {
  const { minimum, maximum } = countRange(role);
  return minimum === maximum && role.count === minimum;
}

/** `name`, or `name-2`, `name-3`…: the first that is not taken. */
export function freeName(name: string, taken: ReadonlySet<string>): string {
  if (!taken.has(name)) {
    return name;
  }
  const stem = name.replace(/-\d+$/, '');
  let number = 2;
  while (taken.has(`${stem}-${number}`)) {
    number += 1;
  }
  return `${stem}-${number}`;
}

function parsed(parameter: IParameter, text: string): ParameterValue {
  switch (parameter.type) {
    case 'integer':
    case 'number':
      return Number(text);
    case 'boolean':
      return text === 'true';
    case 'choice':
      return parameter.choices?.find(choice => String(choice) === text) ?? text;
    default:
      return text;
  }
}
