/** The messages as a table, and what they add up to. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useMemo, useState } from 'react';
import type { IMessage, ITensorShape } from '../tokens';
import { partyColour } from '../display/colours';
import { shortName } from '../display/names';
import { clockText, countText, dateText, secondsText, shapeText, sizeText } from '../display/numbers';
import { boundaries, EVERYBODY, isLate, ISort, roundOf, SortColumn, sorted, stepText, totals } from './filter';

const PAGE = 200; // rows shown at first, and more at a time

export interface ITableProps {
  trans: TranslationBundle;
  messages: readonly IMessage[];
  order: readonly string[];
}

export function MessageTable({ trans, messages, order }: ITableProps): JSX.Element {
  const [sort, setSort] = useState<ISort>({ column: 'time', descending: true });
  const [most, setMost] = useState(PAGE);
  const all = useMemo(() => totals(messages), [messages]);
  const rows = useMemo(() => sorted(messages, sort), [messages, sort]);
  const steps = useMemo(() => messages.some(message => stepText(message) !== ''), [messages]);
  const columns: { column: SortColumn; label: string; number?: boolean }[] = [
    { column: 'time', label: trans.__('Time') },
    { column: 'from', label: trans.__('From') },
    { column: 'to', label: trans.__('To') },
    { column: 'kind', label: trans.__('Kind') },
    { column: 'round', label: trans.__('Round'), number: true }
  ];
  const head = ({ column, label, number }: (typeof columns)[number]) => (
    <th
      key={column}
      scope="col"
      className={number ? 'pg-mod-number' : undefined}
      aria-sort={sort.column !== column ? undefined : sort.descending ? 'descending' : 'ascending'}
    >
      <button
        type="button"
        className="pg-Sort"
        onClick={() => setSort({ column, descending: sort.column === column ? !sort.descending : column === 'time' || !!number })}
      >
        {label}
        <span aria-hidden="true">{sort.column !== column ? '' : sort.descending ? ' ↓' : ' ↑'}</span>
      </button>
    </th>
  );
  return (
    <div className="pg-TableFrame" role="region" tabIndex={0} aria-label={trans.__('Table of messages')}>
      <table className="pg-Table pg-mod-messages" data-count={all.count} data-size={all.size}>
        <caption>{trans.__('Messages between parties')}</caption>
        <thead>
          <tr>
            {columns.map(head)}
            {steps && <th scope="col">{trans.__('Step')}</th>}
            {head({ column: 'size', label: trans.__('Size'), number: true })}
            <th scope="col">{trans.__('Shapes')}</th>
            {head({ column: 'latency', label: trans.__('Latency'), number: true })}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, most).map(message => (
            <Row key={message.seq} trans={trans} message={message} order={order} steps={steps} />
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row" colSpan={steps ? 6 : 5}>
              {trans._n('%2 message', '%2 messages', all.count, countText(all.count))}
            </th>
            <td className="pg-mod-number" data-value={all.size} title={String(all.size)}>
              {sizeText(all.size)}
            </td>
            <td />
            <td className="pg-mod-number">{all.latency === null ? '–' : trans.__('mean %1', secondsText(all.latency))}</td>
          </tr>
        </tfoot>
      </table>
      {rows.length > most && (
        <button type="button" className="pg-Button pg-TableFrame-more" onClick={() => setMost(most + 5 * PAGE)}>
          {trans.__('Show more: %1 are hidden', countText(rows.length - most))}
        </button>
      )}
    </div>
  );
}

interface IRowProps {
  trans: TranslationBundle;
  message: IMessage;
  order: readonly string[];
  /** Whether there is a column of steps. */
  steps: boolean;
}

const Row = React.memo(
  ({ trans, message, order, steps }: IRowProps): JSX.Element => (
    <tr data-seq={message.seq}>
      <td
        className="pg-mod-time"
        title={isLate(message) ? trans.__('Sent before anybody watched; seen at %1', dateText(message.time)) : dateText(message.time)}
      >
        {isLate(message) ? `≤ ${clockText(message.time)}` : clockText(message.time)}
      </td>
      <td>
        <Party party={message.from} order={order} />
      </td>
      <td>{message.to === EVERYBODY ? trans.__('everybody') : <Party party={message.to} order={order} />}</td>
      <td>{message.kind}</td>
      <td className="pg-mod-number">
        {roundOf(message) ?? '–'}
      </td>
      {steps && <td>{stepText(message)}</td>}
      <td className="pg-mod-number" data-value={message.size} title={trans.__('%1 bytes', countText(message.size))}>
        {sizeText(message.size)}
      </td>
      <td>
        <Shapes trans={trans} tensors={message.tensors} />
      </td>
      <td className="pg-mod-number" title={message.latency === null ? trans.__('not measured') : undefined}>
        {message.latency === null ? '–' : secondsText(message.latency)}
      </td>
    </tr>
  )
);
Row.displayName = 'Row';

export function Party({ party, order }: { party: string; order: readonly string[] }): JSX.Element {
  return (
    <span className="pg-Table-named" title={party}>
      <span className="pg-Swatch" style={{ background: partyColour(order, party) }} />
      <span className="pg-Table-party">{shortName(party, 22)}</span>
    </span>
  );
}

function Shapes({ trans, tensors }: { trans: TranslationBundle; tensors: readonly ITensorShape[] | null }): JSX.Element {
  if (!tensors || !tensors.length) {
    return <>–</>;
  }
  const [first] = tensors;
  if (tensors.length === 1) {
    return (
      <span className="pg-Shape">
        {first.name} {shapeText(first.shape)} {first.dtype}
      </span>
    );
  }
  return (
    <details>
      <summary>{trans.__('%1 tensors', tensors.length)}</summary>
      <ul className="pg-Shapes">
        {tensors.map(({ name, dtype, shape }) => (
          <li key={name} className="pg-Shape">
            {name} <b>{shapeText(shape)}</b> {dtype}
          </li>
        ))}
      </ul>
    </details>
  );
}

/** Who sent how much to whom. */
export function BoundaryTable({ trans, messages, order }: ITableProps): JSX.Element {
  const rows = useMemo(() => boundaries(messages), [messages]);
  return (
    <div className="pg-TableFrame" role="region" tabIndex={0} aria-label={trans.__('Table of boundaries')}>
      <table className="pg-Table">
        <caption>{trans.__('What crossed each boundary')}</caption>
        <thead>
          <tr>
            <th scope="col">{trans.__('From')}</th>
            <th scope="col">{trans.__('To')}</th>
            <th scope="col">{trans.__('Kinds')}</th>
            <th scope="col" className="pg-mod-number">
              {trans.__('Messages')}
            </th>
            <th scope="col" className="pg-mod-number">
              {trans.__('Size')}
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ from, to, kinds, count, size }) => (
            <tr key={`${from}\n${to}`}>
              <td>
                <Party party={from} order={order} />
              </td>
              <td>{to === EVERYBODY ? trans.__('everybody') : <Party party={to} order={order} />}</td>
              <td>{kinds.join(', ')}</td>
              <td className="pg-mod-number">{countText(count)}</td>
              <td className="pg-mod-number" data-value={size}>
                {sizeText(size)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
