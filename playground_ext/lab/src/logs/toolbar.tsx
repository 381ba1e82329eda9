/** What stands above the log: search, filters, and what one can do with the lines. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { partyColour } from '../display/colours';
import { shortName } from '../display/names';
import { countText } from '../display/numbers';
import { ILogFilter, isEmpty, LEVELS, NO_FILTER, toggleParty } from './filter';

export interface ILogToolbarProps {
  trans: TranslationBundle;
  filter: ILogFilter;
  parties: readonly string[];
  /** Rounds from 1 to this one can be chosen. */
  rounds: number;
  count: number;
  total: number;
  /** Whether the task has lines before those that are here. */
  older: 'none' | 'here' | 'loading';
  paused: boolean;
  wrap: boolean;
  search: React.RefObject<HTMLInputElement>;
  onFilter: (filter: ILogFilter) => void;
  onOlder: () => void;
  onPause: (paused: boolean) => void;
  onWrap: (wrap: boolean) => void;
  onCopy: () => void;
  onSave: () => void;
  /** Escape in the search field. */
  onLeave: () => void;
}

export function LogToolbar(props: ILogToolbarProps): JSX.Element {
  const { trans, filter, parties, onFilter } = props;
  const levels: { [level: string]: string } = {
    DEBUG: trans.__('All levels'),
    INFO: trans.__('Info and above'),
    WARNING: trans.__('Warnings and above'),
    ERROR: trans.__('Errors'),
    CRITICAL: trans.__('Critical')
  };
  return (
    <div className="pg-Toolbar" role="toolbar" aria-label={trans.__('Log filters')}>
      <div className="pg-Toolbar-row">
        <input
          ref={props.search}
          className="pg-Input pg-mod-search"
          type="search"
          value={filter.text}
          placeholder={trans.__('Search text ( / )')}
          aria-label={trans.__('Only lines that contain this text')}
          data-lm-suppress-shortcuts="true"
          onChange={event => onFilter({ ...filter, text: event.target.value })}
          onKeyDown={event => {
            if (event.key === 'Escape') {
              event.preventDefault();
              if (filter.text) {
                onFilter({ ...filter, text: '' });
              } else {
                props.onLeave();
              }
            } else if (event.key === 'Enter') {
              props.onLeave();
            }
          }}
        />
        <select
          className="pg-Select"
          aria-label={trans.__('Level')}
          value={filter.level}
          onChange={event => onFilter({ ...filter, level: event.target.value })}
        >
          {LEVELS.map(level => (
            <option key={level} value={level}>
              {levels[level]}
            </option>
          ))}
        </select>
        <select
          className="pg-Select"
          aria-label={trans.__('Round')}
          value={filter.round === null ? '' : String(filter.round)}
          onChange={event => {
            const value = event.target.value;
            onFilter({ ...filter, round: value === '' ? null : value === 'none' ? 'none' : Number(value) });
          }}
        >
          <option value="">{trans.__('All rounds')}</option>
          <option value="none">{trans.__('Outside of rounds')}</option>
          {Array.from({ length: props.rounds }, (_, index) => (
            <option key={index + 1} value={index + 1}>
              {trans.__('Round %1', index + 1)}
            </option>
          ))}
        </select>
        <span className="pg-Toolbar-count">
          {isEmpty(filter)
            ? trans._n('%2 line', '%2 lines', props.total, countText(props.total))
            : trans.__('%1 of %2 lines', countText(props.count), countText(props.total))}
        </span>
        {props.older !== 'none' && (
          <button
            type="button"
            className="pg-Button pg-mod-plain"
            title={trans.__('The task has older lines, which are not here yet; filters do not see them')}
            disabled={props.older === 'loading'}
            onClick={props.onOlder}
          >
            {props.older === 'loading' ? trans.__('Fetching older lines…') : trans.__('Fetch older lines')}
          </button>
        )}
        {!isEmpty(filter) && (
          <button type="button" className="pg-Button pg-mod-plain" onClick={() => onFilter(NO_FILTER)}>
            {trans.__('Clear filters')}
          </button>
        )}
        <span className="pg-Toolbar-space" />
        <button
          type="button"
          className="pg-Button"
          aria-pressed={props.paused}
          title={trans.__('Hold the view still; new lines are counted and kept')}
          onClick={() => props.onPause(!props.paused)}
        >
          {props.paused ? trans.__('Paused') : trans.__('Pause')}
        </button>
        <button type="button" className="pg-Button" aria-pressed={props.wrap} onClick={() => props.onWrap(!props.wrap)}>
          {trans.__('Wrap lines')}
        </button>
        <button type="button" className="pg-Button" title={trans.__('Copy all lines that pass the filters')} onClick={props.onCopy}>
          {trans.__('Copy')}
        </button>
        <button
          type="button"
          className="pg-Button"
          title={trans.__('Save all lines that pass the filters as a text file')}
          onClick={props.onSave}
        >
          {trans.__('Save')}
        </button>
      </div>
      {parties.length > 0 && (
        <div className="pg-Toolbar-row pg-Chips" role="group" aria-label={trans.__('Parties')}>
          <button
            type="button"
            className="pg-Chip"
            aria-pressed={!filter.parties.size}
            onClick={() => onFilter({ ...filter, parties: new Set() })}
          >
            {trans.__('All parties')}
          </button>
          {parties.map(party => (
            <button
              key={party}
              type="button"
              className="pg-Chip"
              title={party}
              aria-label={party}
              aria-pressed={filter.parties.has(party)}
              onClick={() => onFilter(toggleParty(filter, party))}
            >
              <span className="pg-Swatch" style={{ background: partyColour(parties, party) }} />
              <span className="pg-Chip-label">{shortName(party, 20)}</span>
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
