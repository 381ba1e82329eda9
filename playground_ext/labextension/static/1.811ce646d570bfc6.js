"use strict";(self.rspackChunkplayground_ext=self.rspackChunkplayground_ext||[]).push([[1],{31(e,o,r){var t=r(32),a=r.n(t),p=r(33),i=(r.n(p))()(a());i.push([e.id,`/* Colours of parties: text, lines and swatches. Each has a contrast of at least 4.5 on the layout colours of its theme, and is well
   apart from the others (test/display.test.ts). logs/render.py has the same hues, as both light and dark need them. */
:root {
  --pg-party-0: #0d38a1;
  --pg-party-1: #a41716;
  --pg-party-2: #004f00;
  --pg-party-3: #712c9b;
  --pg-party-4: #6b4100;
  --pg-party-5: #6f1a41;
  --pg-party-6: #007582;
  --pg-party-7: #4563d0;
  --pg-party-8: #925f4d;
  --pg-party-9: #35414f;
  --pg-party-10: #517700;
  --pg-party-11: #b43d8b;

  /* Words of failure and success; the theme's own are made for surfaces, not for text. */
  --pg-failed: #b3261e;
  --pg-finished: #1c7031;
  --pg-muted: #575757;
}

body[data-jp-theme-light='false'] {
  --pg-party-0: #3fb9ff;
  --pg-party-1: #f09d3e;
  --pg-party-2: #81ea9e;
  --pg-party-3: #ffbdff;
  --pg-party-4: #f7ed71;
  --pg-party-5: #e39ba8;
  --pg-party-6: #a4f9ff;
  --pg-party-7: #b8a1fe;
  --pg-party-8: #ffc8a3;
  --pg-party-9: #aac6c6;
  --pg-party-10: #a1b944;
  --pg-party-11: #ff8ce0;
  --pg-failed: #ff8a80;
  --pg-finished: #74d88a;
  --pg-muted: #b5b5b5;
}

.pg-mod-small {
  font-size: var(--jp-ui-font-size0);
  color: var(--pg-muted);
}

.pg-Link {
  appearance: none;
  background: none;
  border: none;
  padding: 2px 0;
  font: inherit;
  color: var(--jp-content-link-color, var(--jp-brand-color1));
  cursor: pointer;
}

.pg-Link:hover {
  text-decoration: underline;
}

.pg-Link:focus-visible,
.pg-StatusItem:focus-visible {
  outline: 2px solid var(--jp-brand-color1);
  outline-offset: 1px;
}

.pg-StatusItem {
  max-width: 420px;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

/* A party notebook's own buttons stand apart from the notebook's. */
.jp-NotebookPanel-toolbar > .jp-Toolbar-item[data-jp-item-name='playground-run-in-background'] {
  border-right: 1px solid var(--jp-border-color2);
  margin-right: 4px;
  padding-right: 4px;
}

@media (prefers-reduced-motion: reduce) {
  [class*='pg-'],
  [class*='pg-']::before,
  [class*='pg-']::after {
    animation: none !important;
    transition: none !important;
  }
}
`,""]),r.d(o,{},{A:i})},38(e,o,r){var t=r(32),a=r.n(t),p=r(33),i=(r.n(p))()(a());i.push([e.id,`/* Charts. The rules of uPlot that are needed without its own legend are at the end. */

.pg-Charts {
  overflow: auto;
}

.pg-Charts-grid {
  display: flex;
  flex-wrap: wrap;
  gap: 12px;
  padding: 12px;
}

.pg-Card {
  border: 1px solid var(--jp-border-color2);
  border-radius: 6px;
  box-sizing: border-box;
  display: flex;
  flex: 1 1 min(100%, 400px);
  flex-direction: column;
  min-width: 0;
  padding: 10px 12px;
}

.pg-Card.pg-mod-wide {
  flex-basis: 100%;
}

.pg-Card-head {
  align-items: center;
  display: flex;
  gap: 8px;
  margin-bottom: 6px;
}

.pg-Card-title {
  flex: 1;
  font-size: var(--jp-ui-font-size2);
  font-weight: 600;
  margin: 0;
  min-width: 0;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.pg-Card-note {
  font-size: var(--jp-ui-font-size1);
  margin: 0 0 6px;
}

.pg-Card .pg-TableFrame {
  border: 1px solid var(--jp-border-color2);
  max-height: 320px;
}

.pg-Nothing.pg-mod-card {
  border: 1px dashed var(--jp-border-color1);
  border-radius: 6px;
  flex: 1 1 100%;
  font-size: var(--jp-ui-font-size1);
  margin: 0;
  max-width: none;
  padding: 20px;
}

.pg-Plot {
  min-width: 0;
  position: relative;
}

.pg-Plot .pg-Tip {
  top: 16px;
}

.pg-Legend {
  display: grid;
  gap: 2px 8px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 200px), max-content));
  list-style: none;
  margin: 6px 0 0;
  max-height: 166px;
  overflow-y: auto;
  padding: 0;
}

.pg-Legend-item {
  align-items: center;
  background: none;
  border: 1px solid transparent;
  border-radius: 4px;
  color: var(--jp-ui-font-color1);
  display: inline-flex;
  font: inherit;
  gap: 6px;
  line-height: 18px;
  max-width: 100%;
  min-height: 24px;
  padding: 0 4px;
}

button.pg-Legend-item {
  cursor: pointer;
}

button.pg-Legend-item:hover {
  background: var(--jp-layout-color2);
}

.pg-Legend-item[aria-pressed='false'] .pg-Legend-name {
  text-decoration: line-through;
}

.pg-Legend-item[aria-pressed='false'] .pg-Legend-stroke {
  opacity: 0.25;
}

.pg-Legend-stroke {
  flex: none;
}

.pg-Legend-name {
  max-width: 20ch;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.pg-Legend-value {
  font-variant-numeric: tabular-nums;
  font-weight: 600;
  white-space: nowrap;
}

.pg-Gantt {
  display: flex;
  min-width: 0;
}

.pg-Gantt-names {
  flex: none;
  max-width: 30%;
  padding-right: 10px;
}

.pg-Gantt-name {
  align-items: center;
  display: flex;
  gap: 6px;
}

.pg-Gantt-name > span:last-child {
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.pg-Gantt-lanes {
  flex: 1;
  min-width: 0;
  position: relative;
}

.pg-Gantt-lanes svg {
  display: block;
}

.pg-Gantt-round {
  fill: var(--jp-layout-color2);
  opacity: 0.55;
}

.pg-Gantt-round.pg-mod-odd {
  opacity: 1;
}

.pg-Gantt text {
  fill: var(--jp-ui-font-color1);
  font-size: 11px;
}

.pg-Gantt-tick {
  stroke: var(--jp-border-color1);
  stroke-width: 1;
}

.pg-Phase.pg-mod-compute {
  fill: var(--pg-phase-compute);
}

.pg-Phase.pg-mod-wait {
  fill: var(--pg-phase-wait);
}

.pg-Phase.pg-mod-transfer {
  fill: url('#pg-phase-stripes');
}

.pg-Phase-stripe {
  fill: var(--jp-layout-color1);
  opacity: 0.45;
}

.pg-Phase-stripeBack {
  fill: var(--pg-phase-transfer);
}

.pg-Gantt-pointer {
  fill: transparent;
}

/* uPlot */

.pg-Plot-canvas .uplot,
.pg-Plot-canvas .uplot *,
.pg-Plot-canvas .uplot *::before,
.pg-Plot-canvas .uplot *::after {
  box-sizing: border-box;
}

.pg-Plot-canvas .uplot {
  font-family: var(--jp-ui-font-family);
  line-height: 1.5;
  width: min-content;
}

.pg-Plot-canvas .u-wrap {
  position: relative;
  user-select: none;
}

.pg-Plot-canvas .u-over,
.pg-Plot-canvas .u-under {
  position: absolute;
}

.pg-Plot-canvas .u-under {
  overflow: hidden;
}

.pg-Plot-canvas canvas {
  display: block;
  height: 100%;
  position: relative;
  width: 100%;
}

.pg-Plot-canvas .u-axis {
  position: absolute;
}

.pg-Plot-canvas .u-select {
  background: color-mix(in srgb, var(--jp-brand-color1) 18%, transparent);
  pointer-events: none;
  position: absolute;
}

.pg-Plot-canvas .u-cursor-x,
.pg-Plot-canvas .u-cursor-y {
  left: 0;
  pointer-events: none;
  position: absolute;
  top: 0;
}

.pg-Plot-canvas .u-cursor-x {
  border-right: 1px dashed var(--jp-ui-font-color2);
  height: 100%;
}

.pg-Plot-canvas .u-cursor-pt {
  background-clip: padding-box !important;
  border: 0 solid;
  border-radius: 50%;
  left: 0;
  pointer-events: none;
  position: absolute;
  top: 0;
}

.pg-Plot-canvas .u-off {
  display: none;
}
`,""]),r.d(o,{},{A:i})},35(e,o,r){var t=r(32),a=r.n(t),p=r(33),i=(r.n(p))()(a());i.push([e.id,`.pg-CreateDialog .jp-Dialog-content {
  width: min(680px, 92vw);
  max-width: none;
  max-height: 88vh;
}

.pg-CreateDialog .jp-Dialog-body {
  overflow: auto;
}

.pg-Create-about {
  margin: 0 0 12px;
  color: var(--pg-muted);
  line-height: 1.4;
}

.pg-Create .pg-Create-template {
  margin: 0 0 10px;
}

.pg-Create fieldset {
  margin: 0 0 14px;
  padding: 0;
  border: none;
}

.pg-Create legend {
  padding: 0 0 6px;
  font-size: var(--jp-ui-font-size1);
  font-weight: 600;
}

.pg-Create-fields {
  display: grid;
  grid-template-columns: repeat(auto-fill, minmax(270px, 1fr));
  gap: 12px 24px;
}

.pg-Field {
  display: grid;
  grid-template-columns: minmax(0, 1fr);
  gap: 3px;
  align-content: start;
}

.pg-Field > label {
  overflow: hidden;
  text-overflow: ellipsis;
}

.pg-Field > label::first-letter {
  text-transform: uppercase;
}

.pg-Field-control {
  display: flex;
  align-items: center;
  gap: 8px;
  min-height: 28px;
}

.pg-Field-control input:not([type='checkbox']),
.pg-Field-control .jp-HTMLSelect,
.pg-Field-control select {
  flex: 1 1 auto;
  min-width: 0;
  width: 100%;
  margin: 0;
  box-sizing: border-box;
}

.pg-Create .pg-Field-control input:not([type='checkbox']) {
  height: 28px;
  font-size: var(--jp-ui-font-size2);
}

.pg-Field-control input[type='number'] {
  flex: 0 1 130px;
}

.pg-Field-control input[type='checkbox'] {
  width: 16px;
  height: 16px;
  margin: 0;
}

.pg-Field-control input[readonly] {
  opacity: 0.7;
}

.pg-Field-hint {
  flex: none;
  font-size: var(--jp-ui-font-size0);
  color: var(--pg-muted);
  white-space: nowrap;
}

.pg-Field-help {
  font-size: var(--jp-ui-font-size0);
  line-height: 1.35;
  color: var(--pg-muted);
}

.pg-Field-error {
  font-size: var(--jp-ui-font-size0);
  white-space: pre-line;
  line-height: 1.35;
  color: var(--pg-failed);
}

.pg-Field.jp-mod-error input,
.pg-Field.jp-mod-error select {
  border-color: var(--pg-failed);
}

.pg-Create-failure {
  margin: 0 0 12px;
  padding: 8px 12px;
  border: 1px solid var(--jp-error-color1);
  border-left-width: 4px;
  border-radius: var(--jp-border-radius);
  line-height: 1.4;
  white-space: pre-line;
}

.pg-Create-summary {
  margin: 0;
  color: var(--pg-muted);
}

.pg-TracebackDialog .jp-Dialog-content {
  width: min(900px, 92vw);
  max-width: none;
  max-height: 88vh;
}

.pg-Traceback-where {
  display: flex;
  align-items: baseline;
  justify-content: space-between;
  margin: 0 0 8px;
  color: var(--pg-muted);
}

.pg-TracebackDialog .pg-Traceback .pg-Link {
  color: var(--jp-content-link-color, var(--jp-brand-color1));
}

.pg-Traceback pre {
  margin: 0;
  padding: 8px 12px;
  overflow: auto;
  max-height: 60vh;
  background: var(--jp-layout-color2);
  border-radius: var(--jp-border-radius);
  font-family: var(--jp-code-font-family);
  font-size: var(--jp-code-font-size);
  line-height: 1.4;
  white-space: pre;
}

.pg-Create .pg-Field-control .jp-HTMLSelect {
  padding: 0;
}

.pg-Create .pg-Field-control .jp-HTMLSelect select {
  height: 28px;
  border: var(--jp-border-width) solid var(--jp-border-color1);
  border-radius: var(--jp-border-radius);
  background: var(--jp-input-background);
  color: var(--jp-ui-font-color1);
}
`,""]),r.d(o,{},{A:i})},34(e,o,r){var t=r(32),a=r.n(t),p=r(33),i=(r.n(p))()(a());i.push([e.id,`/* What log view, charts and messages share. Colours of parties (--pg-party-…) are in base.css. */

body {
  --pg-error-back: color-mix(in srgb, var(--jp-error-color1) 9%, var(--jp-layout-color1));
  --pg-warning-back: color-mix(in srgb, var(--jp-warn-color1) 12%, var(--jp-layout-color1));
  --pg-phase-compute: #2a78c4;
  --pg-phase-wait: #8a929a;
  --pg-phase-transfer: #c25e12;
  --pg-error-text: #b3261e;
  --pg-warning-text: #855100;
}

body[data-jp-theme-light='false'] {
  --pg-error-back: color-mix(in srgb, var(--jp-error-color1) 22%, var(--jp-layout-color1));
  --pg-warning-back: color-mix(in srgb, var(--jp-warn-color1) 16%, var(--jp-layout-color1));
  --pg-phase-compute: #5aa9f0;
  --pg-phase-wait: #8f979f;
  --pg-phase-transfer: #f0934a;
  --pg-error-text: #ff9a94;
  --pg-warning-text: #ffc46b;
}

.pg-LogView,
.pg-Charts,
.pg-Messages {
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1);
  font-family: var(--jp-ui-font-family);
  font-size: var(--jp-ui-font-size1);
}

.pg-Toolbar {
  border-bottom: 1px solid var(--jp-border-color2);
  display: flex;
  flex-direction: column;
  gap: 6px;
  padding: 8px 12px;
}

.pg-Toolbar-row {
  align-items: center;
  display: flex;
  flex-wrap: wrap;
  gap: 6px;
}

.pg-Toolbar-space {
  flex: 1 1 0;
}

.pg-Toolbar-count {
  color: var(--jp-ui-font-color1);
  font-variant-numeric: tabular-nums;
  padding: 0 4px;
  white-space: nowrap;
}

.pg-Toolbar-note {
  margin: 0;
}

.pg-Messages .pg-Button,
.pg-Charts .pg-Button,
.pg-LogView .pg-Button,
.pg-LogView .pg-Chip {
  background: var(--jp-layout-color1);
  border: 1px solid var(--jp-border-color1);
  border-radius: 4px;
  color: var(--jp-ui-font-color1);
  cursor: pointer;
  font: inherit;
  line-height: 18px;
  min-height: 24px;
  padding: 2px 10px;
  white-space: nowrap;
}

.pg-Messages .pg-Button:hover,
.pg-Charts .pg-Button:hover,
.pg-LogView .pg-Button:hover,
.pg-LogView .pg-Chip:hover {
  background: var(--jp-layout-color2);
}

.pg-Messages .pg-Button[aria-pressed='true'],
.pg-Charts .pg-Button[aria-pressed='true'],
.pg-LogView .pg-Button[aria-pressed='true'],
.pg-LogView .pg-Chip[aria-pressed='true'] {
  background: color-mix(in srgb, var(--jp-brand-color1) 16%, var(--jp-layout-color1));
  border-color: var(--jp-brand-color1);
  font-weight: 600;
}

.pg-Messages .pg-Button.pg-mod-plain,
.pg-LogView .pg-Button.pg-mod-plain {
  background: none;
  border-color: transparent;
  text-decoration: underline;
}

.pg-Messages :focus-visible,
.pg-Charts :focus-visible,
.pg-LogView :focus-visible {
  outline: 2px solid var(--jp-brand-color1);
  outline-offset: -1px;
}

.pg-Select,
.pg-Input {
  background: var(--jp-layout-color1);
  border: 1px solid var(--jp-border-color1);
  border-radius: 4px;
  box-sizing: border-box;
  color: var(--jp-ui-font-color1);
  font: inherit;
  height: 26px;
  max-width: 220px;
  padding: 2px 6px;
}

.pg-Input::placeholder {
  color: var(--jp-ui-font-color1);
  opacity: 0.75;
}

.pg-Input.pg-mod-search {
  flex: 0 1 220px;
  min-width: 120px;
}

.pg-Segments {
  display: inline-flex;
}

.pg-Segments .pg-Button {
  border-radius: 0;
  margin-left: -1px;
  position: relative;
}

.pg-Segments .pg-Button:first-child {
  border-radius: 4px 0 0 4px;
}

.pg-Segments .pg-Button:last-child {
  border-radius: 0 4px 4px 0;
}

.pg-Segments .pg-Button[aria-pressed='true'] {
  z-index: 1;
}

.pg-Swatch {
  border-radius: 2px;
  display: inline-block;
  flex: none;
  height: 10px;
  width: 10px;
}

.pg-Nothing {
  color: var(--jp-ui-font-color1);
  font-size: var(--jp-ui-font-size2);
  line-height: 1.5;
  margin: 12vh auto 0;
  max-width: 46ch;
  padding: 0 16px;
  text-align: center;
}

.pg-mod-spoken {
  clip-path: inset(50%);
  height: 1px;
  overflow: hidden;
  position: absolute;
  white-space: nowrap;
  width: 1px;
}

/* tables */

.pg-TableFrame {
  max-width: 100%;
  min-height: 0;
  overflow: auto;
}

.pg-TableFrame-more {
  margin: 8px 12px;
  position: sticky;
  left: 12px;
}

.pg-Table {
  border-collapse: separate;
  border-spacing: 0;
  font-size: var(--jp-ui-font-size1);
  font-variant-numeric: tabular-nums;
  width: 100%;
}

.pg-Table caption {
  font-size: var(--jp-ui-font-size0);
  padding: 4px 10px;
  text-align: left;
}

.pg-Table th,
.pg-Table td {
  border-bottom: 1px solid var(--jp-border-color3);
  padding: 4px 10px;
  text-align: left;
  vertical-align: top;
  white-space: nowrap;
}

.pg-Table thead th {
  background: var(--jp-layout-color2);
  border-bottom: 1px solid var(--jp-border-color1);
  font-weight: 600;
  position: sticky;
  top: 0;
  vertical-align: middle;
  z-index: 1;
}

.pg-Table tbody th {
  background: var(--jp-layout-color1);
  font-weight: normal;
}

/* of a wide table the rounds stay in sight */
.pg-Table[data-metric] th:first-child,
.pg-Table[data-traffic] th:first-child {
  left: 0;
  position: sticky;
  z-index: 1;
}

.pg-Table[data-metric] thead th:first-child,
.pg-Table[data-traffic] thead th:first-child {
  z-index: 2;
}

.pg-Table tfoot th,
.pg-Table tfoot td {
  background: var(--jp-layout-color2);
  border-top: 1px solid var(--jp-border-color1);
  bottom: 0;
  font-weight: 600;
  position: sticky;
}

.pg-Table .pg-mod-number {
  text-align: right;
}

.pg-Table tbody tr:hover > * {
  background: var(--jp-layout-color2);
}

.pg-Table .pg-Swatch {
  margin-right: 6px;
}

.pg-Table-party {
  display: inline-block;
  max-width: 22ch;
  overflow: hidden;
  text-overflow: ellipsis;
  vertical-align: bottom;
}

.pg-Tip {
  background: var(--jp-layout-color1);
  border: 1px solid var(--jp-border-color1);
  border-radius: 4px;
  box-shadow: var(--jp-elevation-z4);
  color: var(--jp-ui-font-color1);
  font-size: var(--jp-ui-font-size0);
  line-height: 1.5;
  max-width: 320px;
  padding: 6px 8px;
  pointer-events: none;
  position: absolute;
  z-index: 10;
}

.pg-Tip[hidden] {
  display: none;
}

.pg-Tip-head {
  font-weight: 600;
}

.pg-Tip-line {
  align-items: center;
  display: flex;
  gap: 6px;
}

.pg-Tip-name {
  flex: 1;
  max-width: 22ch;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.pg-Tip-value {
  font-variant-numeric: tabular-nums;
  padding-left: 10px;
}
`,""]),r.d(o,{},{A:i})},37(e,o,r){var t=r(32),a=r.n(t),p=r(33),i=(r.n(p))()(a());i.push([e.id,`/* The log view. */

.pg-LogView {
  display: flex;
  flex-direction: column;
  height: 100%;
  overflow: hidden;
}

.pg-LogView-bar {
  flex: 0 0 auto;
}

.pg-LogView-body {
  flex: 1 1 0;
  min-height: 0;
  position: relative;
}

.pg-LogList:focus-visible {
  outline: none;
}

/* above the lines, which would cover the list's own outline */
.pg-LogView-body:has(> .pg-LogList:focus-visible)::after {
  content: '';
  inset: 0;
  outline: 2px solid var(--jp-brand-color1);
  outline-offset: -2px;
  pointer-events: none;
  position: absolute;
}

.pg-Chips {
  max-height: 88px;
  overflow-y: auto;
}

.pg-LogView .pg-Chip {
  align-items: center;
  border-radius: 12px;
  display: inline-flex;
  gap: 6px;
  max-width: 190px;
  padding: 1px 10px;
}

.pg-Chip-label {
  overflow: hidden;
  text-overflow: ellipsis;
}

.pg-LogList {
  contain: strict;
  font-family: var(--jp-code-font-family);
  font-size: var(--jp-code-font-size);
  height: 100%;
  overflow: auto scroll;
  overflow-anchor: none;
  position: relative;
}

.pg-LogList.pg-mod-wrap {
  overflow-x: hidden;
}

.pg-LogList-probe {
  font: inherit;
  left: 0;
  line-height: 1.5;
  pointer-events: none;
  position: absolute;
  top: 0;
  visibility: hidden;
  white-space: pre;
}

.pg-LogList-canvas {
  contain: layout style;
  min-width: 100%;
  position: relative;
}

.pg-LogLine {
  box-sizing: border-box;
  contain: layout style paint;
  display: flex;
  left: 0;
  line-height: var(--pg-row);
  min-width: 100%;
  position: absolute;
  white-space: pre;
}

.pg-LogLine:hover {
  background: var(--jp-layout-color2);
}

.pg-LogLine-gutter {
  background: var(--jp-layout-color1);
  box-sizing: border-box;
  display: flex;
  flex: none;
  gap: 1ch;
  left: 0;
  padding-left: 8px;
  position: sticky;
  width: var(--pg-gutter);
}

.pg-LogLine:hover .pg-LogLine-gutter {
  background: var(--jp-layout-color2);
}

.pg-LogLine-time {
  width: 12ch;
}

.pg-LogLine-level {
  width: 8ch;
}

.pg-LogLine-party {
  font-weight: 600;
  overflow: hidden;
  text-overflow: ellipsis;
  width: var(--pg-name);
}

.pg-LogLine-round {
  overflow: hidden;
  width: 5ch;
}

.pg-LogList.pg-mod-narrow .pg-LogLine-time,
.pg-LogList.pg-mod-narrow .pg-LogLine-round {
  display: none;
}

.pg-LogLine-text {
  flex: 1 0 auto;
}

.pg-LogLine.pg-mod-warning,
.pg-LogLine.pg-mod-warning .pg-LogLine-gutter {
  background: var(--pg-warning-back);
}

.pg-LogLine.pg-mod-error,
.pg-LogLine.pg-mod-error .pg-LogLine-gutter {
  background: var(--pg-error-back);
}

.pg-LogLine.pg-mod-warning .pg-LogLine-gutter {
  box-shadow: inset 3px 0 var(--pg-warning-text);
}

.pg-LogLine.pg-mod-error .pg-LogLine-gutter {
  box-shadow: inset 3px 0 var(--pg-error-text);
}

.pg-LogLine.pg-mod-warning .pg-LogLine-level {
  color: var(--pg-warning-text);
  font-weight: 600;
}

.pg-LogLine.pg-mod-error .pg-LogLine-level {
  color: var(--pg-error-text);
  font-weight: 600;
}

.pg-LogLine mark {
  background: var(--jp-warn-color3, #ffe08a);
  color: #111;
}

.pg-LogView .pg-LogView-latest {
  bottom: 14px;
  box-shadow: var(--jp-elevation-z4);
  font-weight: 600;
  left: 50%;
  padding: 4px 16px;
  position: absolute;
  transform: translateX(-50%);
}

.pg-LogView .pg-LogView-latest[hidden] {
  display: none;
}

.pg-LogView-note {
  background: var(--jp-layout-color2);
  border-bottom: 1px solid var(--jp-border-color1);
  left: 0;
  padding: 6px 12px;
  position: absolute;
  right: 0;
  top: 0;
}

.pg-LogView-note.pg-mod-empty {
  background: none;
  border: 0;
  font-size: var(--jp-ui-font-size2);
  line-height: 1.5;
  margin: 0 auto;
  max-width: 46ch;
  text-align: center;
  top: 30%;
}

.pg-LogView-note[hidden] {
  display: none;
}
`,""]),r.d(o,{},{A:i})},39(e,o,r){var t=r(32),a=r.n(t),p=r(33),i=(r.n(p))()(a());i.push([e.id,`/* Messages: sequence diagram and table. */

.pg-Messages {
  container-type: inline-size;
  display: flex;
  flex-direction: column;
  height: 100%;
  overflow: hidden;
}

.pg-Messages > .pg-Toolbar {
  flex: none;
}

.pg-Messages-parts {
  display: flex;
  flex: 1 1 0;
  flex-direction: column;
  min-height: 0;
}

.pg-Messages-parts > * {
  flex: 1 1 0;
}

.pg-Messages-parts.pg-mod-both > .pg-Diagram {
  border-bottom: 1px solid var(--jp-border-color1);
}

.pg-Diagram {
  min-height: 0;
  overflow: auto;
  position: relative;
}

.pg-Diagram svg {
  display: block;
}

.pg-Diagram-heads {
  background: var(--jp-layout-color1);
  border-bottom: 1px solid var(--jp-border-color2);
  height: 34px;
  min-width: 100%;
  position: sticky;
  top: 0;
  z-index: 1;
}

.pg-Diagram-head {
  background: var(--jp-layout-color1);
  border: 1px solid;
  border-bottom-width: 3px;
  border-radius: 4px;
  font-size: 11px;
  font-weight: 600;
  line-height: 16px;
  max-width: 110px;
  box-sizing: border-box;
  overflow: hidden;
  padding: 2px 3px;
  position: absolute;
  top: 5px;
  transform: translateX(-50%);
  white-space: nowrap;
}

.pg-Diagram-hidden {
  margin: 0;
  padding: 6px 8px;
}

.pg-Diagram text {
  fill: var(--jp-ui-font-color1);
  font-size: 11px;
}

.pg-Diagram-life {
  opacity: 0.55;
  stroke-dasharray: 3 4;
  stroke-width: 1.5;
}

.pg-Diagram-band {
  stroke: var(--jp-border-color2);
}

.pg-Diagram-bandName,
.pg-Arrow-label {
  paint-order: stroke;
  stroke: var(--jp-layout-color1);
  stroke-linejoin: round;
  stroke-width: 4px;
}

.pg-Diagram .pg-Diagram-bandName {
  font-weight: 600;
}

.pg-Arrow line {
  stroke-width: 1.75;
}

.pg-Arrow-back {
  fill: transparent;
}

.pg-Arrow:hover .pg-Arrow-back {
  fill: var(--jp-layout-color2);
}

.pg-Arrow:hover .pg-Arrow-label {
  stroke: var(--jp-layout-color2);
}

.pg-Arrow:hover line {
  stroke-width: 3;
}

.pg-Arrow-time {
  font-variant-numeric: tabular-nums;
}

.pg-Arrow-label {
  text-anchor: middle;
}

.pg-Sort {
  background: none;
  border: 0;
  color: inherit;
  cursor: pointer;
  font: inherit;
  margin: -4px -10px;
  min-height: 26px;
  padding: 4px 10px;
}

.pg-Sort:hover {
  text-decoration: underline;
}

.pg-Shapes {
  list-style: none;
  margin: 2px 0 0;
  padding: 0;
}

.pg-Table summary {
  cursor: pointer;
}

.pg-Table .pg-mod-time,
.pg-Shape {
  font-family: var(--jp-code-font-family);
  font-size: 12px;
}

@container (min-width: 1500px) {
  .pg-Messages-parts {
    flex-direction: row;
  }

  .pg-Messages-parts.pg-mod-both > .pg-Diagram {
    border-bottom: 0;
    border-right: 1px solid var(--jp-border-color1);
  }
}
`,""]),r.d(o,{},{A:i})},36(e,o,r){var t=r(32),a=r.n(t),p=r(33),i=(r.n(p))()(a());i.push([e.id,`.pg-Panel {
  min-width: 200px;
  color: var(--jp-ui-font-color1);
  font-size: var(--jp-ui-font-size1);
  background: var(--jp-layout-color1);
}

.pg-Tasks,
.pg-Parties {
  overflow-y: auto;
  overflow-x: hidden;
  min-height: 60px;
}

.pg-Tasks-list,
.pg-Parties-list {
  list-style: none;
  margin: 0;
  padding: 2px 0;
}

.pg-Tasks-list:focus-visible {
  outline: 2px solid var(--jp-brand-color1);
  outline-offset: -2px;
}

.pg-Task,
.pg-Party {
  cursor: pointer;
}

.pg-Task {
  padding: 6px 12px;
  border-left: 3px solid transparent;
}

.pg-Task:hover,
.pg-Party:hover {
  background: var(--jp-layout-color2);
}

.pg-Task.pg-mod-selected {
  background: var(--jp-layout-color2);
  border-left-color: var(--jp-brand-color1);
}

.pg-Task-line,
.pg-Party-line,
.pg-Detail-line {
  display: flex;
  align-items: center;
  justify-content: space-between;
  gap: 8px;
  min-width: 0;
  line-height: 1.5;
}

.pg-Task-line > span:last-child,
.pg-Detail-line > span:last-child,
.pg-Party-seen,
.pg-Party-round {
  flex: none;
  white-space: nowrap;
}

.pg-Name {
  display: flex;
  min-width: 0;
}

.pg-Name-start {
  min-width: 0;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: pre;
}

.pg-Name-end {
  flex: none;
  white-space: pre;
}

.pg-Task-title,
.pg-Task-id,
.pg-Party-state,
.pg-Detail h3 {
  flex: 1 1 auto;
  min-width: 0;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.pg-Task-id {
  font-family: var(--jp-code-font-family);
}

.pg-Detail {
  padding: 8px 12px 4px;
  border-bottom: 1px solid var(--jp-border-color2);
}

.pg-Detail h3 {
  margin: 0;
  font-size: var(--jp-ui-font-size1);
  font-weight: 600;
}

.pg-Actions,
.pg-Actions-group {
  display: flex;
  flex-wrap: wrap;
}

.pg-Actions {
  gap: 0 16px;
  margin: 4px 0 0 -6px;
}

.pg-Status {
  display: inline-flex;
  align-items: center;
  gap: 3px;
  flex: none;
  white-space: nowrap;
  font-size: var(--jp-ui-font-size0);
  color: var(--pg-muted);
}

.pg-Status-icon {
  display: inline-flex;
}

.pg-Status.pg-mod-running {
  color: var(--jp-ui-font-color1);
}

.pg-Status.pg-mod-finished {
  color: var(--pg-finished);
}

.pg-Status.pg-mod-failed,
.pg-Status.pg-mod-lost {
  color: var(--pg-failed);
  font-weight: 600;
}

.pg-Status.pg-mod-finished svg [fill],
.pg-Status.pg-mod-failed svg [fill],
.pg-Status.pg-mod-lost svg [fill] {
  fill: currentcolor;
}

.pg-Progress {
  height: 4px;
  margin: 3px 0 2px;
  flex: 1 1 auto;
  overflow: hidden;
  border-radius: 2px;
  background: var(--jp-layout-color3);
}

.pg-Progress-done {
  height: 100%;
  border-radius: 2px;
  background: var(--jp-brand-color1);
  transition: width 200ms ease-out;
}

.pg-mod-finished .pg-Progress-done {
  background: var(--jp-success-color1);
}

.pg-mod-failed .pg-Progress-done,
.pg-mod-lost .pg-Progress-done {
  background: var(--jp-error-color1);
}

.pg-Party {
  display: flex;
  gap: 8px;
  padding: 6px 12px;
}

.pg-Party + .pg-Party {
  border-top: 1px solid var(--jp-border-color3);
}

.pg-Party-colour {
  flex: none;
  width: 4px;
  border-radius: 2px;
}

.pg-Party-body {
  flex: 1 1 auto;
  min-width: 0;
}

.pg-Party-name {
  appearance: none;
  min-width: 0;
  padding: 0;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
  background: none;
  border: none;
  font: inherit;
  font-weight: 500;
  color: inherit;
  text-align: left;
  cursor: pointer;
}

.pg-Party-name:disabled {
  cursor: default;
}

.pg-Party-name:hover:enabled {
  text-decoration: underline;
}

.pg-Party-name:focus-visible {
  outline: 2px solid var(--jp-brand-color1);
  outline-offset: 1px;
}

.pg-Failure {
  margin: 4px 0 2px;
  padding: 4px 8px;
  border-left: 3px solid var(--jp-error-color1);
  background: var(--jp-layout-color2);
  cursor: default;
}

.pg-Parties > .pg-Failure {
  margin: 8px 12px;
}

.pg-Failure-message {
  display: -webkit-box;
  -webkit-box-orient: vertical;
  -webkit-line-clamp: 3;
  overflow: hidden;
  overflow-wrap: anywhere;
  line-height: 1.4;
  font-size: var(--jp-ui-font-size0);
}

.pg-Failure-actions {
  display: flex;
  gap: 16px;
  font-size: var(--jp-ui-font-size0);
}

.pg-Offline {
  margin: 0;
  padding: 6px 12px;
  line-height: 1.4;
  border-left: 3px solid var(--jp-warn-color1);
  background: var(--jp-layout-color2);
}

.pg-Empty {
  padding: 8px 12px;
  line-height: 1.45;
  color: var(--pg-muted);
}

.pg-Empty p {
  margin: 0 0 10px;
}

.pg-Empty .pg-Empty-button {
  margin: 0 0 10px;
  padding: 0 12px;
  color: var(--jp-ui-inverse-font-color1, white);
  background: var(--jp-accept-color-normal, var(--jp-brand-color1));
}

.pg-More {
  width: calc(100% - 24px);
  margin: 2px 12px 6px;
}

.pg-Panel .jp-ToolbarButtonComponent-label,
.pg-PartyButton .jp-ToolbarButtonComponent-label {
  margin-left: 4px;
}
`,""]),r.d(o,{},{A:i})},33(e){e.exports=function(e){var o=[];return o.toString=function(){return this.map(function(o){var r="",t=void 0!==o[5];return o[4]&&(r+="@supports (".concat(o[4],") {")),o[2]&&(r+="@media ".concat(o[2]," {")),t&&(r+="@layer".concat(o[5].length>0?" ".concat(o[5]):""," {")),r+=e(o),t&&(r+="}"),o[2]&&(r+="}"),o[4]&&(r+="}"),r}).join("")},o.i=function(e,r,t,a,p){"string"==typeof e&&(e=[[null,e,void 0]]);var i={};if(t)for(var n=0;n<this.length;n++){var l=this[n][0];null!=l&&(i[l]=!0)}for(var g=0;g<e.length;g++){var s=[].concat(e[g]);t&&i[s[0]]||(void 0!==p&&(void 0===s[5]||(s[1]="@layer".concat(s[5].length>0?" ".concat(s[5]):""," {").concat(s[1],"}")),s[5]=p),r&&(s[2]&&(s[1]="@media ".concat(s[2]," {").concat(s[1],"}")),s[2]=r),a&&(s[4]?(s[1]="@supports (".concat(s[4],") {").concat(s[1],"}"),s[4]=a):s[4]="".concat(a)),o.push(s))}},o}},32(e){e.exports=function(e){return e[1]}},25(e){var o=[];function r(e){for(var r=-1,t=0;t<o.length;t++)if(o[t].identifier===e){r=t;break}return r}function t(e,t){for(var a={},p=[],i=0;i<e.length;i++){var n=e[i],l=t.base?n[0]+t.base:n[0],g=a[l]||0,s="".concat(l," ").concat(g);a[l]=g+1;var d=r(s),c={css:n[1],media:n[2],sourceMap:n[3],supports:n[4],layer:n[5]};if(-1!==d)o[d].references++,o[d].updater(c);else{var u=function(e,o){var r=o.domAPI(o);return r.update(e),function(o){o?(o.css!==e.css||o.media!==e.media||o.sourceMap!==e.sourceMap||o.supports!==e.supports||o.layer!==e.layer)&&r.update(e=o):r.remove()}}(c,t);t.byIndex=i,o.splice(i,0,{identifier:s,updater:u,references:1})}p.push(s)}return p}e.exports=function(e,a){var p=t(e=e||[],a=a||{});return function(e){e=e||[];for(var i=0;i<p.length;i++){var n=r(p[i]);o[n].references--}for(var l=t(e,a),g=0;g<p.length;g++){var s=r(p[g]);0===o[s].references&&(o[s].updater(),o.splice(s,1))}p=l}}},27(e){var o={};e.exports=function(e,r){var t=function(e){if(void 0===o[e]){var r=document.querySelector(e);if(window.HTMLIFrameElement&&r instanceof window.HTMLIFrameElement)try{r=r.contentDocument.head}catch(e){r=null}o[e]=r}return o[e]}(e);if(!t)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");t.appendChild(r)}},29(e){e.exports=function(e){var o=document.createElement("style");return e.setAttributes(o,e.attributes),e.insert(o,e.options),o}},28(e,o,r){e.exports=function(e){var o=r.nc;o&&e.setAttribute("nonce",o)}},26(e){e.exports=function(e){if("u"<typeof document)return{update:function(){},remove:function(){}};var o=e.insertStyleElement(e);return{update:function(r){var t,a,p;t="",r.supports&&(t+="@supports (".concat(r.supports,") {")),r.media&&(t+="@media ".concat(r.media," {")),(a=void 0!==r.layer)&&(t+="@layer".concat(r.layer.length>0?" ".concat(r.layer):""," {")),t+=r.css,a&&(t+="}"),r.media&&(t+="}"),r.supports&&(t+="}"),(p=r.sourceMap)&&"u">typeof btoa&&(t+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(p))))," */")),e.styleTagTransform(t,o,e.options)},remove:function(){var e;null===(e=o).parentNode||e.parentNode.removeChild(e)}}}},30(e){e.exports=function(e,o){if(o.styleSheet)o.styleSheet.cssText=e;else{for(;o.firstChild;)o.removeChild(o.firstChild);o.appendChild(document.createTextNode(e))}}},24(e,o,r){var t=r(25),a=r.n(t),p=r(26),i=r.n(p),n=r(27),l=r.n(n),g=r(28),s=r.n(g),d=r(29),c=r.n(d),u=r(30),f=r.n(u),h=r(31),x={};x.styleTagTransform=f(),x.setAttributes=s(),x.insert=l().bind(null,"head"),x.domAPI=i(),x.insertStyleElement=c(),a()(h.A,x),h.A&&h.A.locals&&h.A.locals;var m=r(34),b={};b.styleTagTransform=f(),b.setAttributes=s(),b.insert=l().bind(null,"head"),b.domAPI=i(),b.insertStyleElement=c(),a()(m.A,b),m.A&&m.A.locals&&m.A.locals;var v=r(35),w={};w.styleTagTransform=f(),w.setAttributes=s(),w.insert=l().bind(null,"head"),w.domAPI=i(),w.insertStyleElement=c(),a()(v.A,w),v.A&&v.A.locals&&v.A.locals;var y=r(36),j={};j.styleTagTransform=f(),j.setAttributes=s(),j.insert=l().bind(null,"head"),j.domAPI=i(),j.insertStyleElement=c(),a()(y.A,j),y.A&&y.A.locals&&y.A.locals;var k=r(37),L={};L.styleTagTransform=f(),L.setAttributes=s(),L.insert=l().bind(null,"head"),L.domAPI=i(),L.insertStyleElement=c(),a()(k.A,L),k.A&&k.A.locals&&k.A.locals;var T=r(38),A={};A.styleTagTransform=f(),A.setAttributes=s(),A.insert=l().bind(null,"head"),A.domAPI=i(),A.insertStyleElement=c(),a()(T.A,A),T.A&&T.A.locals&&T.A.locals;var z=r(39),P={};P.styleTagTransform=f(),P.setAttributes=s(),P.insert=l().bind(null,"head"),P.domAPI=i(),P.insertStyleElement=c(),a()(z.A,P),z.A&&z.A.locals&&z.A.locals}}]);