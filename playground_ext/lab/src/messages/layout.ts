/** Where lifelines, arrows and labels of the sequence diagram stand. */
import type { IMessage } from '../tokens';
import { allParties } from '../display/colours';
import { EVERYBODY, roundOf } from './filter';

export const ROW = 30; // px between arrows
export const BAND = 24; // px that a new round takes
const TOP = 8;
const TIMES = 96; // px for the time of each arrow
const NARROWEST = 116; // px between lifelines; a label fits between them
const WIDEST = 280;
const SIDE = 64; // px beside the outer lifelines, for half of a name

export interface ILifeline {
  readonly party: string;
  readonly x: number;
}

export interface IArrow {
  readonly message: IMessage;
  readonly y: number;
  readonly x: number;
  /** One head per receiver. */
  readonly heads: readonly number[];
  /** Middle of the label: between the arrow's leftmost lifeline and the next, where it crosses none. */
  readonly label: number;
}

export interface IDiagram {
  readonly lifelines: readonly ILifeline[];
  readonly arrows: readonly IArrow[];
  /** Where a round begins. `round` is null where messages are outside of rounds. */
  readonly bands: readonly { readonly round: number | null; readonly y: number }[];
  readonly width: number;
  readonly height: number;
}

/** Lay out messages in order of time. `room`: width that is there in px; more parties than fit make the diagram wider. */
export function layoutDiagram(messages: readonly IMessage[], order: readonly string[], room: number): IDiagram {
  const named = new Set<string>();
  for (const { from, to } of messages) {
    named.add(from).add(to);
  }
  named.delete(EVERYBODY);
  const parties = allParties(order, named);
  const gaps = Math.max(1, parties.length - 1);
  const gap = Math.min(WIDEST, Math.max(NARROWEST, (room - TIMES - 2 * SIDE) / gaps));
  const lifelines = parties.map((party, index) => ({ party, x: TIMES + SIDE + index * gap }));
  const at = new Map(lifelines.map(({ party, x }) => [party, x]));
  const width = TIMES + 2 * SIDE + (parties.length > 1 ? gaps * gap : 0);
  const arrows: IArrow[] = [];
  const bands: { round: number | null; y: number }[] = [];
  let y = TOP;
  let round: number | null | undefined;
  for (const message of messages) {
    if (roundOf(message) !== round) {
      round = roundOf(message);
      bands.push({ round, y });
      y += BAND;
    }
    const x = at.get(message.from)!;
    const others = parties.filter(party => party !== message.from);
    const heads = message.to === EVERYBODY ? others.map(party => at.get(party)!) : [at.get(message.to)!];
    const label = Math.min(x, ...heads) + gap / 2;
    arrows.push({ message, y: y + ROW - 8, x, heads, label });
    y += ROW;
  }
  return { lifelines, arrows, bands, width, height: y + TOP };
}

/** The newest messages, and how many older ones are left out. */
export function newest(messages: readonly IMessage[], most: number): { shown: readonly IMessage[]; hidden: number } {
  const hidden = Math.max(0, messages.length - most);
  return { shown: hidden ? messages.slice(hidden) : messages, hidden };
}
