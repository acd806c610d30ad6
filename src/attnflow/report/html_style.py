"""How a page looks: light and dark by the reader's setting, on paper with everything unfolded."""

STYLE = """\
:root { --ink: #1f2430; --soft: #59606d; --paper: #ffffff; --card: #f4f6f8; --line: #d5d9e0; --accent: #2a6f97;
  --warn: #a8442b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --soft: #a3abb8; --paper: #15181e; --card: #1f242c; --line: #3a414d; --accent: #7fb6d6;
    --warn: #f0937b; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 1.9rem; line-height: 1.25; margin: 0.15em 0 0.6em; font-weight: 650; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 0.5em; font-weight: 650; }
section, details { margin: 28px 0; }
.kicker { color: var(--soft); margin: 0; overflow-wrap: anywhere; }
.kind { display: inline-block; margin: 0 0 10px; padding: 2px 10px; border-radius: 4px; background: var(--card);
  border: 1px solid var(--line); font-size: 0.9rem; }
.kind.probe { border-color: var(--warn); color: var(--warn); }
ul { padding-left: 1.2em; margin: 0.4em 0; }
li { margin: 0.25em 0; overflow-wrap: anywhere; }
ul.gate li { color: var(--warn); font-weight: 600; }
figure { margin: 0; background: #ffffff; border: 1px solid var(--line); border-radius: 6px; padding: 8px; }
figure img { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; margin: 0 0 14px; }
caption { text-align: left; color: var(--soft); padding: 0 0 6px; }
th, td { padding: 4px 0 4px 20px; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top;
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { padding-left: 0; }
.words { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 22em; }
section > dl { margin-bottom: 14px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 0.4em 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
details { border: 1px solid var(--line); border-radius: 6px; padding: 10px 14px; }
summary { cursor: pointer; }
summary h2 { display: inline; }
details[open] summary { margin-bottom: 10px; }
pre { background: var(--card); border-radius: 6px; padding: 10px 12px; overflow-x: auto; font-size: 0.875rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: 0.875rem; margin-top: 36px; }
@media (max-width: 600px) { dl { grid-template-columns: 1fr; } dd { margin-bottom: 6px; } h1 { font-size: 1.45rem; } }
@media print {
  :root { --ink: #000000; --soft: #444444; --paper: #ffffff; --card: #ffffff; --line: #bbbbbb; --warn: #7a2d1a; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  details::details-content { content-visibility: visible; block-size: auto; }
  figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; }
  th, td { white-space: normal; }
}
"""
