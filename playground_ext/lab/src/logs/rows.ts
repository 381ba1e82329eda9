/** How a log line becomes rows of equal height: line breaks, tabs, and wrapping at a number of columns of a monospaced font. */

const TAB = 4; // columns
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g; // a terminal's colours and links

/** Columns that a character takes: two for CJK, fullwidth and emoji, none for combining marks. */
export function columnsOf(code: number): number {
  if (code < 0x300) {
    return 1;
  }
  if ((code <= 0x36f) || (code >= 0x200b && code <= 0x200f) || (code >= 0xfe00 && code <= 0xfe0f)) {
    return 0;
  }
  const wide =
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) ||
    (code >= 0x1f300 && code <= 0x1faff) ||
    (code >= 0x20000 && code <= 0x3fffd);
  return wide ? 2 : 1;
}

/** Width of a text without line breaks, in columns. */
export function textColumns(text: string): number {
  if (isPlain(text)) {
    return text.length;
  }
  let columns = 0;
  for (const letter of text) {
    columns += letter === '\t' ? TAB - (columns % TAB) : columnsOf(letter.codePointAt(0)!);
  }
  return columns;
}

/** The text without a terminal's colours and cursor movements. */
export function plainText(text: string): string {
  return text.indexOf('\u001b') < 0 ? text : text.replace(ESCAPES, '');
}

/** Width of the widest line of a text, in columns. */
export function widestLine(text: string): number {
  return text.indexOf('\n') < 0 ? textColumns(plainText(text)) : Math.max(...lines(text).map(textColumns));
}

/** The rows of a text. `wrap`: columns at which rows break (0: they do not). Tabs become spaces. */
export function splitRows(text: string, wrap: number): string[] {
  return softRows(text, wrap).rows;
}

/** The rows of a text, and for each whether it goes on in the next one only because it was too long. */
export function softRows(text: string, wrap: number): { rows: string[]; soft: boolean[] } {
  const rows: string[] = [];
  const soft: boolean[] = [];
  for (const line of lines(text)) {
    if (isPlain(line) && (!wrap || line.length <= wrap)) {
      rows.push(line);
    } else {
      breakLine(line, wrap, rows);
    }
    while (soft.length < rows.length - 1) {
      soft.push(true);
    }
    soft.push(false);
  }
  return { rows, soft };
}

/** How many rows `splitRows` makes, without making them for ordinary lines. */
export function countRows(text: string, wrap: number): number {
  if (text.indexOf('\n') < 0 && text.indexOf('\r') < 0 && text.indexOf('\u001b') < 0) {
    if (!wrap || TAB * text.length <= wrap || (text.length <= wrap && isPlain(text))) {
      return 1;
    }
  }
  return splitRows(text, wrap).length;
}

function lines(text: string): string[] {
  const found = plainText(text).split(/\r\n|\n|\r/);
  while (found.length > 1 && found[found.length - 1] === '') {
    found.pop();
  }
  return found;
}

function isPlain(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 9 || code >= 0x300) {
      return false;
    }
  }
  return true;
}

/** Break a line, after a space or slash where one stands in the last third of the row. */
function breakLine(line: string, wrap: number, rows: string[]): void {
  let row = '';
  let columns = 0;
  let space = 0; // length of the row up to its last space or slash
  let spaceAt = 0; // columns up to there
  for (const letter of line) {
    const width = letter === '\t' ? TAB - (columns % TAB) : columnsOf(letter.codePointAt(0)!);
    if (wrap && columns && columns + width > wrap) {
      const atSpace = letter !== ' ' && 3 * spaceAt >= 2 * wrap;
      rows.push(atSpace ? row.slice(0, space) : row);
      row = atSpace ? row.slice(space) : '';
      columns = atSpace ? columns - spaceAt : 0;
      space = spaceAt = 0;
    }
    row += letter === '\t' ? ' '.repeat(width) : letter;
    columns += width;
    if (letter === ' ' || letter === '/') {
      space = row.length;
      spaceAt = columns;
    }
  }
  rows.push(row);
}
