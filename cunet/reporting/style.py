"""How the report looks: its style sheet, for wide and narrow screens, light, dark and paper.

Every colour that text, or a line of a chart, is drawn in has a contrast of at least 4.5 against
what lies behind it. Charts are drawn 360 pixels wide, which is about the width of a column here and
of a telephone, so that their text is as large as it was drawn.
"""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1d232b; --soft: #5b6572; --grid: #d8dde3; --card: #f4f6f8;
  --blue: #0072b2; --orange: #ad4a00; --alert: #fff3e6;
  --green: #00735a; --purple: #9a3a78; --olive: #6f6400;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --ink: #e6e9ed; --soft: #9aa5b1; --grid: #343c46; --card: #1d232a;
    --blue: #56b4e9; --orange: #f0883e; --alert: #33261a;
    --green: #2cc79b; --purple: #e39ccb; --olive: #f0e442;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 72rem;
  background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-top: .75rem;
     border-top: 1px solid var(--grid); }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 48rem; overflow-wrap: anywhere; }
p.keys, h1 + p { max-width: none; }
a { color: var(--blue); }
:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
.soft, figcaption, dl.terms dd { color: var(--soft); }
.alert { background: var(--alert); border-left: 3px solid var(--orange); padding: .6rem 1rem;
         max-width: none; margin: .75rem 0; border-radius: 0 6px 6px 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; margin: .4rem 0 0; padding: 0;
         list-style: none; font-size: .9rem; }
nav a { display: inline-block; padding: .2rem 0; }
.cards { display: grid; gap: .75rem; margin: 1.25rem 0 1rem;
         grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); }
.cards div { background: var(--card); border-radius: 8px; padding: .5rem .8rem; }
.cards dt, .cards dd { margin: 0; font-size: .82rem; color: var(--soft); }
.cards .value { font-size: 1.1rem; font-weight: 650; line-height: 1.3; color: var(--ink);
                font-variant-numeric: tabular-nums; }
.cards.main { grid-template-columns: repeat(3, minmax(0, 1fr)); }
.cards.main div { padding: .9rem 1.1rem; }
.cards.main dt { font-size: 1rem; color: var(--ink); }
.cards.main .value { font-size: 2.1rem; }
.charts { display: grid; gap: 1.25rem;
          grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }
.charts.pairs { grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
.chart { display: block; width: 100%; max-width: 26rem; height: auto; color: var(--ink); }
.chart text { font-family: inherit !important; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.5rem; margin: .6rem 0; padding: 0;
          list-style: none; font-size: .9rem; overflow-wrap: anywhere; }
.line { width: 44px; height: 12px; margin-right: .5rem; stroke-width: 2; vertical-align: -1px; }
.runs { padding-left: 1.2rem; overflow-wrap: anywhere; }
.slice { display: grid; gap: .6rem; margin: 0 0 1.5rem;
         grid-template-columns: repeat(10, minmax(0, 1fr)); }
.slice figure { margin: 0; grid-column: span 2; }
.slice figure:nth-child(-n+2) { grid-column: span 5; }
.slice img { display: block; width: 100%; border-radius: 4px; image-rendering: pixelated;
             outline: 1px solid var(--grid); outline-offset: -1px; }
.slice img.fine { image-rendering: auto; }
.thirds, .strips { display: grid; gap: .6rem; margin: .6rem 0 1rem; }
.thirds { grid-template-columns: repeat(3, minmax(0, 1fr)); }
.strips { grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }
.thirds figure, .strips figure { margin: 0; }
.thirds img, .strips img { display: block; width: 100%; border-radius: 4px; }
figcaption { font-size: .82rem; margin-top: .15rem; overflow-wrap: anywhere; }
.scale { display: inline-block; width: 3em; height: .7em; border-radius: 2px;
         background: linear-gradient(90deg, #440154, #3b528b, #21918c, #5ec962, #fde725); }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px;
          margin-right: .35em; vertical-align: -.05em; border: 1px solid var(--soft); }
.key { display: inline-block; margin-right: .9em; font-size: .9rem; }
.tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
          gap: 0 2.5rem; align-items: start; }
.tables > * { min-width: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td, th { text-align: left; padding: .22rem .9rem .22rem 0; border-bottom: 1px solid var(--grid);
         vertical-align: top; font-weight: normal; overflow-wrap: anywhere; }
td { font-variant-numeric: tabular-nums; }
th { color: var(--soft); width: 38%; }
thead th { font-size: .82rem; vertical-align: bottom; }
.plain th { width: auto; }
.plain td, .plain thead th { overflow-wrap: normal; }
.plain tbody th { min-width: 5.5em; }
.plain .names tbody th { min-width: 9em; }
.claims tbody th { overflow-wrap: normal; }
summary { cursor: pointer; padding: .2rem 0; overflow-wrap: anywhere; }
details > :nth-child(2) { margin-top: .6rem; }
tr.changed th { color: var(--ink); font-weight: 650; }
tr.changed th::before { content: "\\25cf\\00a0"; color: var(--orange); }
tr.changed td:nth-child(2) { font-weight: 650; }
dl.terms { columns: 2 22rem; column-gap: 2.5rem; margin: 0; font-size: .9rem; }
.terms div { break-inside: avoid; padding-bottom: .7rem; }
.terms dt { font-weight: 650; }
.terms dd { margin: 0; }
@media (max-width: 700px) {
  body { padding: 1.25rem .9rem 3rem; }
  h1 { font-size: 1.5rem; }
  .cards { gap: .5rem; }
  .cards.main div { padding: .5rem .6rem; }
  .cards.main dt { font-size: .85rem; }
  .cards.main .value { font-size: 1.2rem; }
  .plain table { font-size: .8rem; }
  .plain td, .plain th { padding-right: .5rem; }
  .scale { width: 2em; }
  h2 { margin-top: 1.75rem; }
  .slice figure { grid-column: span 5; }
  .slice figure:nth-child(-n+2) { grid-column: span 10; }
}
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #444; --grid: #ccc; --card: #fff; --alert: #fff;
          --blue: #0072b2; --orange: #ad4a00; --green: #00735a; --purple: #9a3a78;
          --olive: #6f6400; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; }
  h2 { margin-top: 1.5rem; }
  .swatch, .scale { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details::details-content { content-visibility: visible; block-size: auto; }
  summary { list-style: none; }
  .cards div { border: 1px solid var(--grid); }
  .charts { grid-template-columns: repeat(3, 1fr); gap: .75rem; }
  .charts.pairs { grid-template-columns: repeat(2, 1fr); }
  .tables { grid-template-columns: 1fr 1fr; gap: 0 1.5rem; }
  .scroll { overflow: visible; }
  table { font-size: 8.5pt; }
  .slice { width: 86%; }
  .slice figure { grid-column: span 2; }
  .slice figure:nth-child(-n+2) { grid-column: span 5; }
  dl.terms { columns: 2; }
  figure, .charts svg, .cards, tr { break-inside: avoid; }
  h2, h3, summary, thead, p.keys { break-after: avoid; }
}
"""
