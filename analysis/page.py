"""The fixed parts of the report: style, script and the order of its sections."""

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --text: #1b1b1b; --muted: #555555;
  --line: #d9d9d9; --tint: #f5f6f7; --warn: #fff4d6; --accent: #0072B2; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --text: #e8e8e8; --muted: #b5b5b5;
  --line: #3a3a3a; --tint: #202327; --warn: #3a3115; --accent: #6cbcf0; } }
body { margin: 0 auto; padding: 1.5rem; max-width: 70rem; background: var(--paper);
  color: var(--text); font: 16px/1.5 "Liberation Sans", Arial, Helvetica, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; } h2 { margin: 0 0 .5rem; font-size: 1.15rem; }
a { color: var(--accent); } .muted { color: var(--muted); }
nav { margin: 1rem 0; } nav a { margin-right: .9rem; white-space: nowrap; }
.notice { padding: .6rem .9rem; background: var(--warn); border-left: 4px solid #E69F00; }
.counts { display: flex; flex-wrap: wrap; gap: .6rem 2rem; margin: 1rem 0; padding: 0; }
.counts div { display: flex; flex-direction: column-reverse; }
.counts dd { margin: 0; font-size: 1.15rem; font-weight: bold; }
.counts dt { color: var(--muted); font-size: .85rem; }
section { margin: 2rem 0; padding-top: 1rem; border-top: 1px solid var(--line); }
figure { margin: 0; } .live, .still, .wide { overflow-x: auto; }
.still img { max-width: 100%; background: #ffffff; }
.drawn .still, .live, .pick { display: none; }
.drawn .live { display: block; } .drawn .pick { display: flex; flex-wrap: wrap; gap: .4rem; }
.pick { align-items: center; margin: .3rem 0; font-size: .9rem; }
button { padding: .2rem .7rem; border: 1px solid var(--line); border-radius: 4px; font: inherit;
  background: var(--tint); color: var(--text); cursor: pointer; }
button[aria-pressed=true] { border-color: var(--accent);
  box-shadow: inset 0 0 0 1px var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
summary { cursor: pointer; color: var(--accent); }
table { border-collapse: collapse; margin: .5rem 0; font-size: .85rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: left;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
th { background: var(--tint); } li { margin: .25rem 0; }
.vega-embed { padding-right: 38px !important; } .vega-embed summary { opacity: .6 !important; }
@media print { body { max-width: none; padding: 0; }
  .live, .pick, nav { display: none !important; }
  .still { display: block !important; } section { break-inside: avoid; } }
"""

SCRIPT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const views = new Map();

function recoloured(value) {
  if (Array.isArray(value)) return value.map(recoloured);
  if (value === null || typeof value !== "object") return COLOURS[value] ?? value;
  if (value.name === "viridis") return {...value, extent: VIRIDIS.dark};
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, recoloured(v)]));
}

async function embed(figure, model) {
  const text = figure.querySelector("script[type='application/json']").textContent;
  const spec = dark.matches ? recoloured(JSON.parse(text)) : JSON.parse(text);
  const chosen = (spec.params ?? []).find(param => param.name === LEGEND);
  if (chosen && model) chosen.value = [{model}];
  views.get(figure)?.finalize();
  const actions = {export: true, source: false, compiled: false, editor: false};
  const live = figure.querySelector(".live");
  views.set(figure, await vegaEmbed(live, spec, {actions, renderer: "svg"}));
  figure.classList.add("drawn");
  for (const button of figure.querySelectorAll(".pick button"))
    button.setAttribute("aria-pressed", String(Boolean(model) && button.value === model));
}

const figures = [...document.querySelectorAll("figure")];
for (const figure of figures)
  for (const button of figure.querySelectorAll(".pick button"))
    button.addEventListener("click", () => embed(figure, button.value));
const all = async () => { for (const figure of figures) await embed(figure, ""); };
dark.addEventListener("change", all);
await all();
document.documentElement.dataset.drawn = String(figures.length);
"""

# Nothing may be loaded: the policy makes the browser refuse what the page does not ask for anyway.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data:"
)

HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{header}
</header>
<main>
{body}
</main>
{scripts}
</body>
</html>
"""
