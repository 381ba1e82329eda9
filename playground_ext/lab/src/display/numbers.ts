/** Numbers as people read them. Sizes and durations look as on the command line: `87.4 kB`, `3.2 s`. */

const SIZE_UNITS = ['kB', 'MB', 'GB', 'TB'];

/** `512 B`, `87.4 kB`, `1.2 MB`. */
export function sizeText(bytes: number): string {
  if (Math.abs(bytes) < 1000) {
    return `${Math.round(bytes)} B`;
  }
  let value = bytes;
  let unit = '';
  for (unit of SIZE_UNITS) {
    value /= 1000;
    if (Math.abs(value) < 999.95) {
      break;
    }
  }
  return `${value.toFixed(1)} ${unit}`;
}

/** `0.8 ms`, `42 ms`, `3.2 s`, `12 min 5 s`, `5 h 10 min`. */
export function secondsText(seconds: number): string {
  if (seconds < 0.01) {
    return `${trimmed((seconds * 1000).toFixed(1))} ms`;
  }
  if (seconds < 0.9995) {
    return `${Math.round(seconds * 1000)} ms`;
  }
  if (seconds < 59.95) {
    return `${seconds.toFixed(1)} s`;
  }
  const whole = Math.round(seconds);
  if (whole < 3600) {
    return joined(Math.floor(whole / 60), 'min', whole % 60, 's');
  }
  return joined(Math.floor(whole / 3600), 'h', Math.floor((whole % 3600) / 60), 'min');
}

/** Thousands apart: `12,345`. */
export function countText(count: number): string {
  return count.toLocaleString('en-US');
}

/** A metric's value with about five significant digits: `0.0312`, `12.345`, `1.2e-7`. */
export function valueText(value: number): string {
  if (!Number.isFinite(value)) {
    return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '−∞';
  }
  const size = Math.abs(value);
  if (value === 0 || (Number.isInteger(value) && size < 1e6)) {
    return String(value);
  }
  if (size >= 1e6 || size < 1e-4) {
    return value.toExponential(3).replace(/\.?0+e/, 'e').replace('e+', 'e');
  }
  return trimmed(value.toPrecision(5));
}

/** `0.9312` as `93.12 %`. */
export function percentText(share: number): string {
  return `${trimmed((share * 100).toFixed(2))} %`;
}

/** Time of day of unix seconds, where the reader is: `14:03:07.123`. */
export function clockText(time: number): string {
  const date = new Date(time * 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** Date and time of day: `2026-10-15 14:03:07`. */
export function dateText(time: number): string {
  const date = new Date(time * 1000);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Shape of a tensor: `32 × 64`; of a scalar: `scalar`. */
export function shapeText(shape: readonly number[]): string {
  return shape.length ? shape.join(' × ') : 'scalar';
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

function trimmed(digits: string): string {
  return digits.includes('.') && !digits.includes('e') ? digits.replace(/\.?0+$/, '') : digits;
}

function joined(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}
