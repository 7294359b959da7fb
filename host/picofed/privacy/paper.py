"""The privacy report on paper: a fleet of eight boards on one page of A4, as what a data-protection officer files."""

from __future__ import annotations

from typing import Final

CSS: Final = """
.pair td.i, .pair th.i { min-width: 0; white-space: nowrap; overflow-wrap: normal; }
.pair td.w, .pair th.w { min-width: 6em; } .pair th, .pair td { padding-right: 10px; }
@media (min-width: 1020px) { .spent { grid-template-columns: minmax(0, 4fr) minmax(0, 5fr); }
  .tiles:has(> :nth-child(5)) { grid-template-columns: repeat(5, minmax(0, 1fr)); } }
@media print {
  @page { size: A4 portrait; margin: 8mm; }
  body { font-size: 8pt; line-height: 1.3; }
  header { padding-top: 0; } h1 { font-size: 15pt; } h2 { font-size: 9.5pt; margin: 4px 0 2px; }
  h3 { font-size: 8.5pt; }
  .over { display: none; } .lead { font-size: 8.5pt; margin-top: 2px; }
  .card { padding: 4px 8px; border-radius: 4px; } .tiles, .pair, .three { gap: 6px; }
  .tiles, .tiles:has(> :nth-child(5)) { margin-top: 6px; grid-template-columns: none; grid-auto-flow: column;
    grid-auto-columns: minmax(0, 1fr); }
  .pair { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .spent { grid-template-columns: minmax(0, 4fr) minmax(0, 6fr); }
  .tile .n { font-size: 13pt; margin: 0; } .tile .k { font-size: 8pt; margin: 0; }
  .tile .s, .say, .three ul { font-size: 7pt; line-height: 1.22; } .say { margin: 1px 0 4px; }
  .three { grid-template-columns: minmax(0, 1fr) minmax(0, 1.55fr) minmax(0, 1fr); }
  .three .card { padding: 4px 8px; } .three ul { margin-top: 2px; } li { margin: 1px 0; }
  .scroll { margin-top: 0; } caption { padding: 0 0 2px; } table { font-size: 7pt; line-height: 1.22; }
  th, td { padding: 1px 8px 1.5px 0; } td.w, th.w, td.i, th.i { min-width: 0; max-width: none; }
  dl { font-size: 7pt; line-height: 1.22; grid-template-columns: max-content minmax(0, 1fr); gap: 0 10px; }
  dt, dd { padding: 1px 0; border-bottom: 1px solid var(--rule); }
  .pair td.w, .pair th.w { min-width: 0; } section > .card > .scroll th[scope=row] { white-space: nowrap; }
  .chart svg { max-height: 36mm; } #audit .chart svg { max-height: 14mm; }
  footer { padding: 5px 0 0; font-size: 7pt; }
}
"""
