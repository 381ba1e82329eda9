/** The sequence diagram: a lifeline per party, an arrow per message, time running down. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { IMessage } from '../tokens';
import { partyColour } from '../display/colours';
import { shortName } from '../display/names';
import { clockText, secondsText, shapeText, sizeText } from '../display/numbers';
import { EVERYBODY, isLate, roundOf, stepText } from './filter';
import { BAND, IArrow, layoutDiagram, newest } from './layout';

const MOST = 150; // arrows

export interface IDiagramProps {
  trans: TranslationBundle;
  task: string;
  messages: readonly IMessage[];
  order: readonly string[];
}

export function Diagram({ trans, task, messages, order }: IDiagramProps): JSX.Element {
  const host = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const [room, setRoom] = useState(0);
  const { shown, hidden } = useMemo(() => newest(messages, MOST), [messages]);
  const diagram = useMemo(() => layoutDiagram(shown, order, room), [shown, order, room]);

  useLayoutEffect(() => {
    const element = host.current!;
    const observer = new ResizeObserver(() => setRoom(element.clientWidth));
    observer.observe(element);
    setRoom(element.clientWidth);
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    const element = host.current!;
    if (atEnd.current) {
      element.scrollTop = element.scrollHeight;
    }
  }, [diagram]);

  return (
    <div
      ref={host}
      className="pg-Diagram"
      role="region"
      tabIndex={0}
      aria-label={trans.__('Sequence diagram of %1', task)}
      onScroll={event => {
        const element = event.currentTarget;
        atEnd.current = element.scrollTop + element.clientHeight >= element.scrollHeight - 8;
      }}
    >
      <div className="pg-Diagram-heads" style={{ width: diagram.width }} aria-hidden="true">
        {diagram.lifelines.map(({ party, x }) => (
          <span key={party} className="pg-Diagram-head" title={party} style={{ left: x, borderColor: partyColour(order, party) }}>
            {shortName(party, 14)}
          </span>
        ))}
      </div>
      {hidden > 0 && (
        <p className="pg-Diagram-hidden">
          {trans._n('%1 earlier message is in the table', '%1 earlier messages are in the table', hidden)}
        </p>
      )}
      <svg
        width={diagram.width}
        height={diagram.height}
        role="img"
        aria-label={trans.__('%1 messages between %2 parties. The table shows them all.', diagram.arrows.length, diagram.lifelines.length)}
      >
        {diagram.bands.map(({ round, y }) => (
          <g key={y}>
            <line className="pg-Diagram-band" x1={0} x2={diagram.width} y1={y + BAND / 2} y2={y + BAND / 2} />
            <text className="pg-Diagram-bandName" x={8} y={y + BAND / 2 + 4}>
              {round === null ? trans.__('Outside of rounds') : trans.__('Round %1', round)}
            </text>
          </g>
        ))}
        {diagram.lifelines.map(({ party, x }) => (
          <line key={party} className="pg-Diagram-life" x1={x} x2={x} y1={0} y2={diagram.height} style={{ stroke: partyColour(order, party) }} />
        ))}
        {diagram.arrows.map(arrow => (
          <Arrow key={arrow.message.seq} trans={trans} arrow={arrow} order={order} />
        ))}
      </svg>
    </div>
  );
}

const Arrow = React.memo(
  ({ trans, arrow, order }: { trans: TranslationBundle; arrow: IArrow; order: readonly string[] }): JSX.Element => {
    const { message, x, y, heads } = arrow;
    const colour = partyColour(order, message.from);
    return (
      <g className="pg-Arrow">
        <title>{describe(trans, message)}</title>
        <rect className="pg-Arrow-back" x={0} y={y - 20} width="100%" height={28} />
        <text className="pg-Arrow-time" x={8} y={y + 3}>
          {isLate(message) ? `≤ ${clockText(message.time)}` : clockText(message.time)}
        </text>
        {heads.map(head => (
          <g key={head}>
            <line x1={x} x2={head} y1={y} y2={y} style={{ stroke: colour }} />
            <path d={headPath(x, head, y)} style={{ fill: colour }} />
          </g>
        ))}
        <circle cx={x} cy={y} r={3.5} style={{ fill: colour }} />
        <text className="pg-Arrow-label" x={arrow.label} y={y - 6}>
          {shortName(message.kind, 14)} · {sizeText(message.size)}
        </text>
      </g>
    );
  },
  (before, after) =>
    before.arrow.message === after.arrow.message &&
    before.arrow.y === after.arrow.y &&
    before.arrow.x === after.arrow.x &&
    before.arrow.heads.join() === after.arrow.heads.join() &&
    before.order === after.order
);
Arrow.displayName = 'Arrow';

function headPath(from: number, to: number, y: number): string {
  const back = to > from ? to - 9 : to + 9;
  return `M${to} ${y} L${back} ${y - 4.5} L${back} ${y + 4.5} Z`;
}

/** One message in words. */
export function describe(trans: TranslationBundle, message: IMessage): string {
  const to = message.to === EVERYBODY ? trans.__('everybody') : message.to;
  const parts = [`${message.from} → ${to}`, `${message.kind}, ${sizeText(message.size)}`];
  const round = roundOf(message);
  if (round !== null) {
    const step = stepText(message);
    parts.push(step ? trans.__('round %1, step %2', round, step) : trans.__('round %1', round));
  }
  if (message.latency !== null) {
    parts.push(trans.__('taken after %1', secondsText(message.latency)));
  }
  for (const { name, dtype, shape } of (message.tensors ?? []).slice(0, 8)) {
    parts.push(`${name}: ${shapeText(shape)} ${dtype}`);
  }
  if ((message.tensors?.length ?? 0) > 8) {
    parts.push('…');
  }
  return parts.join('\n');
}
