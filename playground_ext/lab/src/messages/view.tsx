/** Filters, diagram and tables of the messages of one task. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useMemo, useState } from 'react';
import type { IMessage } from '../tokens';
import { allParties } from '../display/colours';
import { countText } from '../display/numbers';
import { Diagram } from './diagram';
import { choices, IMessageFilter, isEmpty, matches, NO_FILTER } from './filter';
import { BoundaryTable, MessageTable } from './table';

export interface IMessagesProps {
  trans: TranslationBundle;
  task: string;
  /** In order of time. A new array after each change. */
  messages: readonly IMessage[];
  /** How many older ones the page has forgotten. */
  forgotten: number;
  /** The task's parties. */
  order: readonly string[];
  /** What to say while there are no messages. */
  emptyText: string;
}

type Part = 'both' | 'diagram' | 'table' | 'boundaries';

export function MessagesPage(props: IMessagesProps): JSX.Element {
  const { trans, task, messages, order } = props;
  const [filter, setFilter] = useState<IMessageFilter>(NO_FILTER);
  const [part, setPart] = useState<Part>('both');
  const found = useMemo(() => choices(messages), [messages]);
  const shown = useMemo(() => (isEmpty(filter) ? messages : messages.filter(message => matches(filter, message))), [messages, filter]);
  const parts: [Part, string][] = [
    ['both', trans.__('Both')],
    ['diagram', trans.__('Diagram')],
    ['table', trans.__('Table')],
    ['boundaries', trans.__('Boundaries')]
  ];
  return (
    <>
      <div className="pg-Toolbar" role="toolbar" aria-label={trans.__('Message filters')}>
        <div className="pg-Toolbar-row">
          <select
            className="pg-Select"
            aria-label={trans.__('Round')}
            value={filter.round === null ? '' : String(filter.round)}
            onChange={event => {
              const value = event.target.value;
              setFilter({ ...filter, round: value === '' ? null : value === 'none' ? 'none' : Number(value) });
            }}
          >
            <option value="">{trans.__('All rounds')}</option>
            {found.outside && <option value="none">{trans.__('Outside of rounds')}</option>}
            {found.rounds.map(round => (
              <option key={round} value={round}>
                {trans.__('Round %1', round)}
              </option>
            ))}
          </select>
          <select
            className="pg-Select"
            aria-label={trans.__('Party')}
            value={filter.party ?? ''}
            onChange={event => setFilter({ ...filter, party: event.target.value || null })}
          >
            <option value="">{trans.__('All parties')}</option>
            {allParties(order, found.parties).map(party => (
              <option key={party} value={party}>
                {party}
              </option>
            ))}
          </select>
          <select
            className="pg-Select"
            aria-label={trans.__('Kind')}
            value={filter.kind ?? ''}
            onChange={event => setFilter({ ...filter, kind: event.target.value || null })}
          >
            <option value="">{trans.__('All kinds')}</option>
            {found.kinds.map(kind => (
              <option key={kind} value={kind}>
                {kind}
              </option>
            ))}
          </select>
          <span className="pg-Toolbar-count">
            {isEmpty(filter)
              ? trans._n('%2 message', '%2 messages', messages.length, countText(messages.length))
              : trans.__('%1 of %2 messages', countText(shown.length), countText(messages.length))}
            {props.forgotten > 0 && ` (${trans.__('the newest; %1 older ones are not kept here', countText(props.forgotten))})`}
          </span>
          {!isEmpty(filter) && (
            <button type="button" className="pg-Button pg-mod-plain" onClick={() => setFilter(NO_FILTER)}>
              {trans.__('Clear filters')}
            </button>
          )}
          <span className="pg-Toolbar-space" />
          <div className="pg-Segments" role="group" aria-label={trans.__('What to show')}>
            {parts.map(([name, label]) => (
              <button key={name} type="button" className="pg-Button" aria-pressed={part === name} onClick={() => setPart(name)}>
                {label}
              </button>
            ))}
          </div>
        </div>
        <p className="pg-Toolbar-note">
          {trans.__('What crossed the parties’ boundaries: sizes and shapes. Values are never shown, and never sent to this page.')}
        </p>
      </div>
      {!messages.length ? (
        <p className="pg-Nothing">{props.emptyText}</p>
      ) : !shown.length ? (
        <p className="pg-Nothing">{trans.__('None of %1 messages passes the filters.', countText(messages.length))}</p>
      ) : (
        <div className={`pg-Messages-parts pg-mod-${part}`}>
          {(part === 'both' || part === 'diagram') && <Diagram trans={trans} task={task} messages={shown} order={order} />}
          {(part === 'both' || part === 'table') && <MessageTable trans={trans} messages={shown} order={order} />}
          {part === 'boundaries' && <BoundaryTable trans={trans} messages={shown} order={order} />}
        </div>
      )}
    </>
  );
}
