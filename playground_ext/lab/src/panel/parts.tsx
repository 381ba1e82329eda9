/** Small pieces that the lists of the panel share. */
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';
import { nameParts } from '../display/names';
import { RowStatus } from './rows';
import { agoText, statusIcon, statusWord } from './words';

export function Status({ status, trans }: { status: RowStatus; trans: TranslationBundle }): JSX.Element {
  const icon = statusIcon(status);
  return (
    <span className={`pg-Status pg-mod-${status}`}>
      <icon.react tag="span" className="pg-Status-icon" width="14px" height="14px" />
      {statusWord(status, trans)}
    </span>
  );
}

export function Progress({ value, label }: { value: number | null; label: string }): JSX.Element {
  return (
    <div
      className="pg-Progress"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={value === null ? undefined : Math.round(value * 100)}
    >
      <div className="pg-Progress-done" style={{ width: `${(value ?? 0) * 100}%` }} />
    </div>
  );
}

/** How long ago something was, kept true. */
export function Ago({ time, trans }: { time: number; trans: TranslationBundle }): JSX.Element {
  const [now, setNow] = React.useState(() => Date.now() / 1000);
  React.useEffect(() => {
    const timer = window.setInterval(() => {
      if (!document.hidden) {
        setNow(Date.now() / 1000);
      }
    }, 1000);
    return () => window.clearInterval(timer);
  }, []);
  return <time dateTime={new Date(time * 1000).toISOString()}>{agoText(time, Math.max(now, Date.now() / 1000), trans)}</time>;
}

/** A name that loses its middle where there is little room. */
export function Name({ name, className = '' }: { name: string; className?: string }): JSX.Element {
  const [start, end] = nameParts(name);
  return (
    <span className={`pg-Name ${className}`}>
      <span className="pg-Name-start">{start}</span>
      {end && <span className="pg-Name-end">{end}</span>}
    </span>
  );
}

/** What is said where a list is empty, and what to do about it. */
export function Empty({ children }: { children: React.ReactNode }): JSX.Element {
  return <div className="pg-Empty">{children}</div>;
}
