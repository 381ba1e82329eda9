/** A chart with its title and the table behind it. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

export interface ICardProps {
  trans: TranslationBundle;
  title: string;
  /** One sentence of what is shown. */
  note?: string;
  wide?: boolean;
  /** More controls, before the toggle. */
  controls?: React.ReactNode;
  table: () => JSX.Element;
  children: React.ReactNode;
}

export function Card(props: ICardProps): JSX.Element {
  const [asTable, setAsTable] = useState(false);
  const { trans, title } = props;
  return (
    <section className={`pg-Card${props.wide ? ' pg-mod-wide' : ''}`} aria-label={title}>
      <header className="pg-Card-head">
        <h2 className="pg-Card-title" title={title}>
          {title}
        </h2>
        {props.controls}
        <button
          type="button"
          className="pg-Button"
          aria-pressed={asTable}
          aria-label={trans.__('%1 as a table', title)}
          onClick={() => setAsTable(!asTable)}
        >
          {trans.__('Table')}
        </button>
      </header>
      {props.note && <p className="pg-Card-note">{props.note}</p>}
      {asTable ? (
        <div className="pg-TableFrame" role="region" tabIndex={0} aria-label={trans.__('Table of %1', title)}>
          {props.table()}
        </div>
      ) : (
        props.children
      )}
    </section>
  );
}

/** A number in a table; `exact` is what it stands for. */
export function NumberCell({ exact, text }: { exact: number | null; text: string }): JSX.Element {
  return (
    <td className="pg-mod-number" data-value={exact ?? undefined} title={exact === null ? undefined : String(exact)}>
      {exact === null ? '–' : text}
    </td>
  );
}
