/** Charts of metrics and of bytes, and their tables. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { partyColour } from '../display/colours';
import { shortName } from '../display/names';
import { percentText, sizeText, valueText } from '../display/numbers';
import { Card, NumberCell } from './card';
import { Plot } from './plot';
import { IMetricTable, latest, valueRange } from './series';
import { ITrafficTable } from './traffic';

interface IChartProps {
  trans: TranslationBundle;
  order: readonly string[];
}

export function MetricCard({ trans, order, table }: IChartProps & { table: IMetricTable }): JSX.Element {
  const format = table.share ? percentText : valueText;
  const last = new Map(latest(table).map(({ party, value }) => [party, format(value)]));
  const rowTitle = table.by === 'round' ? trans.__('Round') : trans.__('Point');
  const rowText = (row: number) => (table.by === 'round' ? trans.__('Round %1', row) : trans.__('Point %1', row));
  const newest = [...last].map(([party, value]) => `${party} ${value}`).join(', ');
  return (
    <Card
      trans={trans}
      title={table.name}
      table={() => (
        <table className="pg-Table" data-metric={table.name}>
          <caption>
            {table.by === 'round' ? trans.__('%1 by round and party', table.name) : trans.__('%1 by point and party', table.name)}
          </caption>
          <RoundHead trans={trans} rowTitle={rowTitle} parties={table.parties} order={order} />
          <tbody>
            {table.rounds.map((round, row) => (
              <tr key={round}>
                <th scope="row">{round}</th>
                {table.parties.map((party, column) => (
                  <NumberCell key={party} exact={table.values[column][row]} text={format(table.values[column][row] ?? NaN)} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    >
      <Plot
        label={trans.__('Chart of %1 by %2. Newest: %3. The button “Table” shows all numbers.', table.name, rowTitle.toLowerCase(), newest)}
        parties={table.parties}
        order={order}
        rounds={table.rounds}
        values={table.values}
        range={(low, high) => valueRange(low, high, table.share)}
        format={format}
        rowTitle={rowTitle}
        roundText={rowText}
        summary={party => last.get(party) ?? ''}
        hideText={trans.__('hide or show its line')}
      />
    </Card>
  );
}

export function TrafficCard({ trans, order, table, what }: IChartProps & { table: ITrafficTable; what: 'sent' | 'received' }): JSX.Element {
  const title = what === 'sent' ? trans.__('Bytes sent') : trans.__('Bytes received');
  const values = table[what];
  const total = (party: string) => table.totals[table.parties.indexOf(party)]?.[what] ?? 0;
  const totals = table.parties.map(party => `${party} ${sizeText(total(party))}`).join(', ');
  return (
    <Card
      trans={trans}
      title={title}
      note={what === 'sent' ? trans.__('Payloads that left each party, per round.') : trans.__('Payloads that reached each party, per round.')}
      table={() => (
        <table className="pg-Table" data-traffic={what}>
          <caption>{trans.__('%1 by round and party', title)}</caption>
          <RoundHead trans={trans} rowTitle={trans.__('Round')} parties={table.parties} order={order} />
          <tbody>
            {table.rounds.map((round, row) => (
              <tr key={round}>
                <th scope="row">{round || trans.__('outside')}</th>
                {table.parties.map((party, column) => (
                  <NumberCell key={party} exact={values[column][row]} text={sizeText(values[column][row] ?? 0)} />
                ))}
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">{trans.__('All')}</th>
              {table.parties.map(party => (
                <NumberCell key={party} exact={total(party)} text={sizeText(total(party))} />
              ))}
            </tr>
          </tfoot>
        </table>
      )}
    >
      <Plot
        label={trans.__('Chart of %1 by %2. All: %3. The button “Table” shows all numbers.', title, trans.__('Round').toLowerCase(), totals)}
        parties={table.parties}
        order={order}
        rounds={table.rounds}
        values={values}
        range={(_, high) => [0, high ? high * 1.06 : 1]}
        format={sizeText}
        rowTitle={trans.__('Round')}
        roundText={round => (round ? trans.__('Round %1', round) : trans.__('Outside of rounds'))}
        summary={party => sizeText(total(party))}
        hideText={trans.__('hide or show its line')}
      />
    </Card>
  );
}

interface IHeadProps extends IChartProps {
  rowTitle: string;
  parties: readonly string[];
}

function RoundHead({ rowTitle, parties, order }: IHeadProps): JSX.Element {
  return (
    <thead>
      <tr>
        <th scope="col">{rowTitle}</th>
        {parties.map(party => (
          <th key={party} scope="col" className="pg-mod-number" title={party}>
            <span className="pg-Swatch" style={{ background: partyColour(order, party) }} />
            <span className="pg-Table-party">{shortName(party, 18)}</span>
          </th>
        ))}
      </tr>
    </thead>
  );
}
