"""The page's CSS.

Colours are blue, orange and purple, told apart with any colour vision, and never alone: dashes, sizes and
words say the same. Every text colour has a contrast of at least 4.5 to its background in both schemes.
"""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f7f6f2; --card: #ffffff; --ink: #1c2126; --muted: #59636d; --rule: #e2e0d9; --edge: #b9b7ae;
  --private: #0a5ea8; --plain: #b04a08; --float: #5b6670; --majority: #7a5195; --rest: #c9dcee;
  --s1: #4c9ad4; --s2: #e0a13c; --s3: #b04a08; --warn: #fdf0e3; --k-lo: #000; --k-hi: #fff;
}
@media (prefers-color-scheme: dark) { :root {
  --page: #12161a; --card: #1b2126; --ink: #e8eaec; --muted: #a3adb6; --rule: #2f373e; --edge: #56616b;
  --private: #6cb6f2; --plain: #f2a263; --float: #aab4bd; --majority: #c9a0dc; --rest: #2c4760;
  --s1: #3f7fb5; --s2: #c9973f; --s3: #f2a263; --warn: #33271b; --k-lo: #fff; --k-hi: #000;
} }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, -apple-system,
  "Segoe UI", Roboto,
  "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif; font-variant-numeric: tabular-nums; }
main, header, footer { max-width: 1180px; margin: 0 auto; padding: 0 clamp(12px, 3vw, 32px); }
header { padding-top: clamp(28px, 6vw, 64px); }
h1, h2, h3, p { margin: 0; overflow-wrap: anywhere; }
h1 { font-size: clamp(1.65rem, 4.4vw, 2.5rem); line-height: 1.15; letter-spacing: -.02em; font-weight: 650;
  text-wrap: balance; }
h2 { font-size: 1.3rem; line-height: 1.25; letter-spacing: -.01em; font-weight: 650; margin: 48px 0 14px; }
h3 { font-size: 1.03rem; line-height: 1.3; font-weight: 650; }
.over { color: var(--muted); font-size: .82rem; letter-spacing: .06em; text-transform: uppercase;
  margin-bottom: 10px; }
.lead { font-size: 1.1rem; max-width: 46em; margin-top: 14px; color: var(--muted); }
.lead strong { color: var(--ink); font-weight: 600; }
.tiles, .pair, .three { display: grid; gap: 16px; grid-template-columns: minmax(0, 1fr); }
.tiles { margin-top: 32px; }
@media (min-width: 560px) { .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media (min-width: 1020px) { .tiles { grid-template-columns: repeat(4, minmax(0, 1fr)); }
  .pair { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media (min-width: 860px) { .three { grid-template-columns: repeat(3, minmax(0, 1fr)); } }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: clamp(14px, 2.2vw, 24px); margin: 0;
  min-width: 0; }
.pair + .card, .card + .pair, .card + .card { margin-top: 16px; }
.pair .card, .three .card, .tiles .card { margin-top: 0; }
.tile { container-type: inline-size; border-top: 3px solid var(--private); border-top-left-radius: 4px;
  border-top-right-radius: 4px; }
.tile .k { font-weight: 600; font-size: .95rem; line-height: 1.35; margin-bottom: 5px; }
.tile .n { font-size: clamp(1.3rem, 15cqi, 2.3rem); line-height: 1.2; font-weight: 650;
  letter-spacing: -.02em; margin: 0 0 4px;
  color: var(--private); }
.tile .n small { font-size: .5em; letter-spacing: 0; font-weight: 600; }
.tile .s, .say { color: var(--muted); font-size: .92rem; line-height: 1.5; }
.alarm { border-top-color: var(--plain); background: var(--warn); } .alarm .n { color: var(--plain); }
.say { margin: 4px 0 16px; }
.three p, .three ul { font-size: .95rem; margin: 8px 0 0; }
ul { padding-left: 1.15em; } li { margin: 5px 0; overflow-wrap: anywhere; } li::marker {
  color: var(--muted); }
figcaption { display: block; }
.chart { container-type: inline-size; }
.chart svg { display: none; width: 100%; height: auto; max-width: calc(var(--w) * 1.22); overflow: visible; }
.chart svg.v-s { display: block; }
@container (min-width: 460px) { .chart svg.v-s { display: none; } .chart svg.v-m { display: block; } }
@container (min-width: 900px) { .chart svg.v-m:not(:last-child) { display: none; } .chart svg.v-l {
  display: block; } }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans",
  "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: tabular-nums; fill: var(--ink); stroke: var(--card); stroke-width: 3px;
  stroke-linejoin: round;
  paint-order: stroke; }
svg text.k-lo, svg text.k-mid, svg text.k-hi { stroke: none; }
svg text.m { fill: var(--muted); } svg text.b { font-weight: 600; } svg text.s { font-size: 11px;
  font-weight: 400; }
svg .private-t { fill: var(--private); } svg .plain-t { fill: var(--plain); }
svg .float-t { fill: var(--float); } svg .majority-t { fill: var(--majority); }
.grid { stroke: var(--rule); } .axis { stroke: var(--edge); } .dash { stroke-dasharray: 2 4;
  stroke: var(--edge); }
.l { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.l.private, .bar.private, .leader.private { stroke: var(--private); } .l.private { stroke-width: 2.75; }
.l.rest { stroke: var(--s1); stroke-width: 1.5; opacity: .55; }
.l.plain, .bar.plain, .leader.plain { stroke: var(--plain); } .l.plain { stroke-dasharray: 7 4; }
.l.float, .leader.float { stroke: var(--float); } .l.float { stroke-dasharray: 2 5; }
.l.majority, .leader.majority { stroke: var(--majority); } .l.majority { stroke-dasharray: 10 4 2 4;
  stroke-width: 1.6; }
.leader { stroke-width: 1; opacity: .7; } .bar { stroke-width: 1.5; }
.dot { stroke: var(--card); stroke-width: 1.5; } .dot.private { fill: var(--private); } .dot.plain {
  fill: var(--plain); }
.fill.private, .fill.hit, .fill.stale0 { fill: var(--private); } .fill.miss { fill: var(--plain); }
.fill.other { fill: var(--float); fill-opacity: .55; } .fill.down { fill: var(--majority); }
.fill.rest { fill: var(--rest); stroke: var(--private); stroke-width: .75; } .cell { fill: var(--rule);
  fill-opacity: .35; }
.open { fill: var(--plain); fill-opacity: .08; stroke: var(--plain); stroke-dasharray: 5 4; }
.fill.stale1 { fill: var(--s1); } .fill.stale2 { fill: var(--s2); } .fill.stale3 { fill: var(--s3); }
svg text.k-lo { fill: var(--k-lo); } svg text.k-mid { fill: #000; } svg text.k-hi { fill: var(--k-hi); }
.target { stroke: var(--plain); stroke-width: 1.5; stroke-dasharray: 5 3; }
.none { color: var(--muted); }
details { margin-top: 14px; border-top: 1px solid var(--rule); padding-top: 10px; font-size: .92rem; }
summary { cursor: pointer; color: var(--muted); width: fit-content; }
summary:hover { color: var(--ink); }
summary:focus-visible, .scroll:focus-visible { outline: 2px solid var(--private); outline-offset: 3px;
  border-radius: 3px; }
.scroll { overflow-x: auto; max-width: 100%; margin-top: 8px; }
table { border-collapse: collapse; font-size: .88rem; line-height: 1.4; min-width: 100%; }
caption { text-align: left; color: var(--muted); padding: 4px 0 8px; }
th, td { padding: 6px 14px 6px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--rule); overflow-wrap: anywhere; }
th:last-child, td:last-child { padding-right: 0; }
th { font-weight: 600; } thead th { color: var(--muted); vertical-align: bottom; }
td.r, th.r { text-align: right; white-space: nowrap; overflow-wrap: normal; } td.w, th.w { min-width: 9em;
  max-width: 22em; }
td.l, th.l { min-width: 6.5em; } td.i, th.i { min-width: 11em; }
code { font: .92em ui-monospace, SFMono-Regular, Consolas, "DejaVu Sans Mono", "Liberation Mono",
  monospace; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0; margin: 0; font-size: .93rem; }
dt { color: var(--muted); padding-top: 8px; } dd { margin: 0; overflow-wrap: anywhere; }
@media (min-width: 620px) { dl { grid-template-columns: minmax(9em, max-content) minmax(0, 1fr);
  gap: 0 24px; }
  dt, dd { padding: 6px 0; border-bottom: 1px solid var(--rule); } }
footer { color: var(--muted); font-size: .85rem; padding-top: 36px; padding-bottom: 48px; }
@media print {
  @page { margin: 14mm; }
  :root { --page: #fff; } body { font-size: 10.5pt; } header { padding-top: 0; }
  main, header, footer { max-width: none; padding-left: 0; padding-right: 0; }
  .card, figure, tr { break-inside: avoid; } h2, h3, figcaption { break-after: avoid; } h2 {
  margin-top: 28px; }
  .tiles { grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 8px; } .tile .n { font-size: 1.45rem; }
  .three { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 8px; }
  .three ul { font-size: .8rem; line-height: 1.4; padding-left: 1em; } .three .card { padding: 10px; }
  .scroll { overflow: visible; } summary { display: none; } details::details-content {
  content-visibility: visible; height: auto; }
  svg, .tile, .card { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  table { font-size: .78rem; } th, td { padding-right: 8px; }
}
"""
