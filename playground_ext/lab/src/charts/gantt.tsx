/** The timeline: a lane per party, bars of computing, waiting and transferring. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { IPhase } from '../tokens';
import { partyColour } from '../display/colours';
import { shortName } from '../display/names';
import { secondsText } from '../display/numbers';
import { Card, NumberCell } from './card';
import { barAt, IBar, layoutTimeline, newest, PHASES, phaseSums, PhaseName, roundsOf } from './timeline';

const LANE = 26; // px
const BAR = 16; // px
const HEAD = 22; // px, for the names of the rounds
const FOOT = 20; // px, for the seconds

export interface IGanttProps {
  trans: TranslationBundle;
  phases: readonly IPhase[];
  order: readonly string[];
}

export function phaseText(trans: TranslationBundle, phase: PhaseName): string {
  switch (phase) {
    case 'compute':
      return trans.__('computing');
    case 'wait':
      return trans.__('waiting for others');
    case 'transfer':
      return trans.__('sending and receiving');
  }
}

/** Round 0 is what parties do before the first round. */
function roundText(trans: TranslationBundle, round: number, long: boolean): string {
  if (!round) {
    return long ? trans.__('Before') : '–';
  }
  return long ? trans.__('Round %1', round) : String(round);
}

export function GanttCard({ trans, phases, order }: IGanttProps): JSX.Element {
  const [span, setSpan] = useState<number | null>(5);
  const rounds = useMemo(() => newest(roundsOf(phases), span), [phases, span]);
  const shown = useMemo(() => phases.filter(phase => rounds.includes(phase.round)), [phases, rounds]);
  const controls = (
    <select
      className="pg-Select"
      aria-label={trans.__('Rounds of the timeline')}
      value={span ?? ''}
      onChange={event => setSpan(event.target.value ? Number(event.target.value) : null)}
    >
      <option value="1">{trans.__('Last round')}</option>
      <option value="5">{trans.__('Last 5 rounds')}</option>
      <option value="20">{trans.__('Last 20 rounds')}</option>
      <option value="">{trans.__('All rounds')}</option>
    </select>
  );
  return (
    <Card
      trans={trans}
      wide
      title={trans.__('Where the time goes')}
      controls={controls}
      table={() => <PhaseTable trans={trans} phases={shown} order={order} />}
    >
      <Gantt trans={trans} phases={shown} order={order} />
      <ul className="pg-Legend">
        {PHASES.filter(phase => phase !== 'transfer' || shown.some(entry => entry.phase === phase)).map(phase => (
          <li key={phase} className="pg-Legend-item">
            <svg width="18" height="10" aria-hidden="true">
              <PhaseRect phase={phase} x={0} y={0} width={18} height={10} />
            </svg>
            <span className="pg-Legend-name">{phaseText(trans, phase)}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Gantt({ trans, phases, order }: IGanttProps): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [tip, setTip] = useState<{ bar: IBar; party: string; x: number; y: number } | null>(null);

  useLayoutEffect(() => {
    const element = host.current!;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    setWidth(element.clientWidth);
    return () => observer.disconnect();
  }, []);

  const layout = useMemo(() => layoutTimeline(phases, order, Math.max(0, width - 2)), [phases, order, width]);
  const height = HEAD + layout.lanes.length * LANE + FOOT;
  const bottom = HEAD + layout.lanes.length * LANE;
  const label = trans.__(
    'Timeline of %1 parties over %2. The button “Table” shows all numbers.',
    layout.lanes.length,
    secondsText(layout.seconds)
  );
  return (
    <div className="pg-Gantt">
      <div className="pg-Gantt-names" style={{ paddingTop: HEAD }} aria-hidden="true">
        {layout.lanes.map(({ party }) => (
          <div key={party} className="pg-Gantt-name" style={{ height: LANE }} title={party}>
            <span className="pg-Swatch" style={{ background: partyColour(order, party) }} />
            <span>{shortName(party, 24)}</span>
          </div>
        ))}
      </div>
      <div ref={host} className="pg-Gantt-lanes" onPointerLeave={() => setTip(null)}>
        <svg width={width} height={height} role="img" aria-label={label}>
          <PhasePatterns />
          {layout.rounds.map(({ round, x, width: wide }, index) => (
            <g key={round}>
              <rect className={`pg-Gantt-round${index % 2 ? ' pg-mod-odd' : ''}`} x={x} y={0} width={Math.max(1, wide)} height={bottom} />
              {wide > 14 && (
                <text className="pg-Gantt-roundName" x={x + 4} y={15}>
                  {roundText(trans, round, wide > 64)}
                </text>
              )}
            </g>
          ))}
          {layout.ticks.map(({ seconds, x }) => (
            <g key={seconds}>
              <line className="pg-Gantt-tick" x1={x} x2={x} y1={HEAD} y2={bottom + 4} />
              <text className="pg-Gantt-second" x={x} y={bottom + 16} textAnchor={x < 12 ? 'start' : x > width - 24 ? 'end' : 'middle'}>
                {seconds === 0 ? '0' : secondsText(seconds).replace('.0 s', ' s')}
              </text>
            </g>
          ))}
          {layout.lanes.map(({ party, bars }, lane) => (
            <g key={party} transform={`translate(0 ${HEAD + lane * LANE + (LANE - BAR) / 2})`}>
              {bars.map((bar, index) => (
                <PhaseRect
                  key={index}
                  phase={bar.phase}
                  x={bar.x}
                  y={0}
                  width={Math.max(0.75, bar.width)}
                  height={BAR}
                />
              ))}
              <rect
                className="pg-Gantt-pointer"
                x={0}
                y={(BAR - LANE) / 2}
                width={width}
                height={LANE}
                onPointerMove={event => {
                  const x = event.clientX - event.currentTarget.getBoundingClientRect().left;
                  const bar = barAt(bars, x);
                  setTip(bar && { bar, party, x: bar.x + Math.min(bar.width / 2, 40), y: HEAD + (lane + 1) * LANE });
                }}
              />
            </g>
          ))}
        </svg>
        {tip && (
          <div className="pg-Tip" style={{ top: tip.y, left: Math.max(0, Math.min(tip.x, width - 220)) }}>
            <div className="pg-Tip-head">{tip.party}</div>
            <div>
              {roundText(trans, tip.bar.round, true)}: {phaseText(trans, tip.bar.phase)}, {secondsText(tip.bar.seconds)}
              {tip.bar.count > 1 ? ` (${trans.__('the longest of %1 here', tip.bar.count)})` : ''}
            </div>
          </div>
        )}
      </div>
    </div>
  );
}

interface IRectProps {
  phase: PhaseName;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Phases differ by shape too: waiting is thin and hollow, transferring is striped. */
function PhaseRect({ phase, x, y, width, height }: IRectProps): JSX.Element {
  const inset = phase === 'wait' ? height * 0.28 : 0;
  return (
    <rect className={`pg-Phase pg-mod-${phase}`} x={x} y={y + inset} width={width} height={height - 2 * inset} />
  );
}

function PhasePatterns(): JSX.Element {
  return (
    <defs>
      <pattern id="pg-phase-stripes" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <rect className="pg-Phase-stripeBack" width="5" height="5" />
        <rect className="pg-Phase-stripe" width="2" height="5" />
      </pattern>
    </defs>
  );
}

function PhaseTable({ trans, phases, order }: IGanttProps): JSX.Element {
  const sums = phaseSums(phases, order);
  return (
    <table className="pg-Table" data-timeline="">
      <caption>{trans.__('Seconds of each party in each round')}</caption>
      <thead>
        <tr>
          <th scope="col">{trans.__('Round')}</th>
          <th scope="col">{trans.__('Party')}</th>
          {PHASES.map(phase => (
            <th key={phase} scope="col" className="pg-mod-number">
              {phaseText(trans, phase)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {sums.map(entry => (
          <tr key={`${entry.round}/${entry.party}`}>
            <th scope="row">{entry.round || trans.__('outside')}</th>
            <td>
              <span className="pg-Swatch" style={{ background: partyColour(order, entry.party) }} />
              <span className="pg-Table-party" title={entry.party}>
                {shortName(entry.party, 22)}
              </span>
            </td>
            {PHASES.map(phase => (
              <NumberCell key={phase} exact={entry[phase]} text={secondsText(entry[phase])} />
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
