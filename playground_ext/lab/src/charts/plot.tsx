/** Lines by round, one per party, drawn by uPlot. */
import React, { useEffect, useRef, useState } from 'react';
import uPlot from 'uplot';
import { partyColour, partyDash, partyProperty } from '../display/colours';
import { shortName } from '../display/names';
import { cssValue, onThemeChange } from '../display/theme';

const HEIGHT = 232; // px
const MANY = 60; // rounds from which on points are no longer marked

export interface IPlotProps {
  /** What screen readers say instead. */
  label: string;
  parties: readonly string[];
  /** The task's parties, which decide about colours. */
  order: readonly string[];
  rounds: readonly number[];
  values: readonly (readonly (number | null)[])[];
  range: (low: number | null, high: number | null) => [number, number];
  /** A value, on the axis and in the tooltip. */
  format: (value: number) => string;
  /** Under the horizontal axis. */
  rowTitle: string;
  /** "Round 3". */
  roundText: (round: number) => string;
  /** What the legend shows behind a party's name. */
  summary: (party: string) => string;
  hideText: string;
}

export function Plot(props: IPlotProps): JSX.Element {
  const { parties, order } = props;
  const host = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const current = useRef(props);
  current.current = props;
  const [theme, setTheme] = useState(0);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const columns = parties.join('\n');
  const marked = props.rounds.length <= MANY;

  useEffect(() => {
    const changed = onThemeChange(() => setTheme(count => count + 1));
    return () => changed.dispose();
  }, []);

  useEffect(() => {
    const element = host.current!;
    const chart = new uPlot(options(element, current, tip, marked), data(current.current), element);
    plot.current = chart;
    const observer = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width && width !== chart.width) {
        chart.setSize({ width, height: HEIGHT });
      }
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.destroy();
      plot.current = null;
    };
  }, [columns, theme, marked]);

  useEffect(() => {
    plot.current?.setData(data(props));
  }, [props.rounds, props.values]);

  useEffect(() => {
    parties.forEach((party, index) => plot.current?.setSeries(index + 1, { show: !hidden.has(party) }));
  }, [hidden, columns, theme, marked]);

  const toggle = (party: string) => {
    const next = new Set(hidden);
    if (!next.delete(party)) {
      next.add(party);
    }
    setHidden(next);
  };

  return (
    <div className="pg-Plot">
      <div ref={host} className="pg-Plot-canvas" role="img" aria-label={props.label} />
      <div ref={tip} className="pg-Tip" hidden />
      <ul className="pg-Legend">
        {parties.map(party => (
          <li key={party}>
            <button
              type="button"
              className="pg-Legend-item"
              aria-pressed={!hidden.has(party)}
              title={`${party}: ${props.hideText}`}
              aria-label={`${party} ${props.summary(party)}`}
              onClick={() => toggle(party)}
            >
              <Stroke party={party} order={order} />
              <span className="pg-Legend-name">{shortName(party, 16)}</span>
              <span className="pg-Legend-value">{props.summary(party)}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** A piece of a party's line. */
function Stroke({ party, order }: { party: string; order: readonly string[] }): JSX.Element {
  return (
    <svg className="pg-Legend-stroke" width="18" height="8" aria-hidden="true">
      <line x1="0" y1="4" x2="18" y2="4" strokeWidth="2.5" strokeDasharray={partyDash(order, party).join(' ')} style={{ stroke: partyColour(order, party) }} />
    </svg>
  );
}

function data(props: IPlotProps): uPlot.AlignedData {
  return [[...props.rounds], ...props.values.map(column => column.map(value => (value === null || Number.isFinite(value) ? value : null)))];
}

function options(
  element: HTMLElement,
  props: React.MutableRefObject<IPlotProps>,
  tip: React.RefObject<HTMLDivElement>,
  marked: boolean
): uPlot.Options {
  const { parties, order } = props.current;
  const background = cssValue('--jp-layout-color1');
  const font = `11px ${cssValue('--jp-ui-font-family') || 'sans-serif'}`;
  const axis: uPlot.Axis = {
    stroke: cssValue('--jp-ui-font-color1'),
    font,
    grid: { stroke: cssValue('--jp-border-color2'), width: 1 },
    ticks: { stroke: cssValue('--jp-border-color2'), width: 1, size: 4 }
  };
  return {
    width: element.clientWidth || 320,
    height: HEIGHT,
    padding: [10, 14, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 8 }, drag: { x: true, y: false } },
    scales: {
      x: { time: false, range: (_, low, high) => (low === high ? [low - 1, high + 1] : [low, high]) },
      y: { range: (_, low, high) => props.current.range(low, high) }
    },
    axes: [
      { ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000], space: 36, size: 24, label: props.current.rowTitle, labelFont: font, labelGap: 0, labelSize: 18 },
      {
        ...axis,
        size: (_, values) => Math.max(36, 14 + 6.4 * Math.max(0, ...(values ?? []).map(value => value.length))),
        values: (_, splits) => splits.map(split => props.current.format(split))
      }
    ],
    series: [
      {},
      ...parties.map<uPlot.Series>(party => {
        const colour = cssValue(partyProperty(order, party));
        return {
          label: party,
          stroke: colour,
          width: 2,
          dash: partyDash(order, party),
          spanGaps: true,
          points: { show: marked, size: 5, fill: background, stroke: colour }
        };
      })
    ],
    hooks: {
      setCursor: [chart => showTip(chart, props.current, tip.current)],
      ready: [
        chart => chart.over.addEventListener('mouseleave', () => {
          if (tip.current) {
            tip.current.hidden = true;
          }
        })
      ]
    }
  };
}

function showTip(chart: uPlot, props: IPlotProps, tip: HTMLElement | null): void {
  if (!tip) {
    return;
  }
  const row = chart.cursor.idx;
  const left = chart.cursor.left ?? -1;
  if (row === null || row === undefined || left < 0) {
    tip.hidden = true;
    return;
  }
  const head = document.createElement('div');
  head.className = 'pg-Tip-head';
  head.textContent = props.roundText(props.rounds[row]);
  const lines = props.parties
    .map((party, column) => ({ party, value: props.values[column]?.[row] ?? null, shown: chart.series[column + 1]?.show }))
    .filter(entry => entry.value !== null && entry.shown)
    .sort((a, b) => b.value! - a.value!)
    .map(({ party, value }) => {
      const line = document.createElement('div');
      line.className = 'pg-Tip-line';
      const swatch = document.createElement('span');
      swatch.className = 'pg-Swatch';
      swatch.style.background = partyColour(props.order, party);
      const name = document.createElement('span');
      name.className = 'pg-Tip-name';
      name.textContent = shortName(party, 24);
      const number = document.createElement('span');
      number.className = 'pg-Tip-value';
      number.textContent = props.format(value!);
      line.append(swatch, name, number);
      return line;
    });
  tip.replaceChildren(head, ...lines);
  tip.hidden = false;
  const x = chart.over.offsetLeft + left;
  const room = chart.root.clientWidth;
  const width = tip.offsetWidth;
  tip.style.left = `${x + 12 + width > room ? Math.max(0, x - 12 - width) : x + 12}px`;
}
