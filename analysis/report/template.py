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
.skip { position: absolute; left: -99rem; } .skip:focus { position: static; }
.headline { margin: .6rem 0; font-size: 1.15rem; font-weight: bold; }
nav { margin: 1rem 0; } nav a { margin-right: .9rem; white-space: nowrap; }
.notice { padding: .6rem .9rem; background: var(--warn); border-left: 4px solid #E69F00; }
.counts { display: flex; flex-wrap: wrap; gap: .6rem 2rem; margin: 1rem 0; padding: 0; }
.counts div { display: flex; flex-direction: column-reverse; }
.counts dd { margin: 0; font-size: 1.15rem; font-weight: bold; }
.counts dt { color: var(--muted); font-size: .85rem; }
section { margin: 2rem 0; padding-top: 1rem; border-top: 1px solid var(--line);
  scroll-margin-top: 3rem; }
figure { margin: 0; } .live, .still, .wide { overflow-x: auto; }
.still img { max-width: 100%; background: #ffffff; }
.drawn .still, .live, .pick { display: none; } .drawn .live { display: block; }
.scripted .pick { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center;
  position: sticky; top: 0; z-index: 2; padding: .4rem 0; background: var(--paper);
  border-bottom: 1px solid var(--line); font-size: .9rem; }
button { padding: .2rem .7rem; border: 1px solid var(--line); border-radius: 4px; font: inherit;
  background: var(--tint); color: var(--text); cursor: pointer; }
button[aria-pressed=true] { border-color: var(--accent); font-weight: bold;
  box-shadow: inset 0 0 0 1px var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
summary { cursor: pointer; color: var(--accent); }
table { border-collapse: collapse; margin: .5rem 0; font-size: .85rem; }
caption { padding: .2rem 0; text-align: left; color: var(--muted); }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.number { text-align: right; } thead th { background: var(--tint); } li { margin: .25rem 0; }
.claims th, .claims td { white-space: normal; font-weight: normal; }
.claims .verdict { white-space: nowrap; font-weight: bold; }
.claims th:first-child { min-width: 16rem; } .claims .numbers { min-width: 20rem; }
.vega-embed { padding-right: 38px !important; } .vega-embed summary { opacity: .6 !important; }
@page { margin: 14mm; }
@media print { :root { --paper: #ffffff; --text: #1b1b1b; --muted: #555555; --line: #d9d9d9;
    --tint: #f5f6f7; --warn: #fff4d6; --accent: #1b1b1b; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .wide { overflow: visible; } table { font-size: 6.5pt; } details:not([open]) { display: none; }
  th, td { padding: .1rem .2rem; white-space: normal; } .claims { font-size: 7.5pt; }
  .claims th:first-child, .claims .numbers { min-width: 0; }
  .live, .pick, nav, .skip { display: none !important; }
  .still { display: block !important; } figure, tr, .notice { break-inside: avoid; }
  h2, caption, thead { break-after: avoid; } thead { display: table-header-group; } }
"""

SCRIPT = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const figures = [...document.querySelectorAll("figure")];
const buttons = [...document.querySelectorAll(".pick button")];
const said = document.querySelector(".pick output");
const views = new Map();
let chosen = [];

function recoloured(value) {
  if (Array.isArray(value)) return value.map(recoloured);
  if (value === null || typeof value !== "object") return COLOURS[value] ?? value;
  if (value.name === "viridis") return {...value, extent: VIRIDIS.dark};
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, recoloured(v)]));
}

// Sets the selections of a figure; one that lacks the chosen models stays as it is.
function highlight(figure) {
  const {view, params} = views.get(figure) ?? {params: []};
  const here = chosen.filter(model => JSON.parse(figure.dataset.models).includes(model));
  const fields = [{type: "E", field: "model"}];
  if (params.includes(LEGEND))
    view.data(LEGEND + "_store", here.map(model => ({unit: "", fields, values: [model]})));
  if (params.includes(CLICK)) view.data(CLICK + "_store", []);
  if (view) return view.runAsync();
}

async function choose(models) {
  chosen = models;
  for (const button of buttons)
    button.setAttribute("aria-pressed", String(chosen.includes(button.value)));
  said.textContent = chosen.length ? "Shown: " + chosen.map(m => LABELS[m]).join(", ") : "";
  await Promise.all(figures.map(highlight));
}

function toggle(model, add) {
  const others = add ? chosen.filter(other => other !== model) : [];
  return choose(chosen.includes(model) ? others : [...others, model]);
}

// One handler for all figures, after Vega's own: entries of the legend, marks, and blank space.
function clicked(event, item) {
  const legend = item?.mark.role?.startsWith("legend");
  const model = legend ? item.datum?.value : item?.datum?.model;
  if (model in LABELS) setTimeout(() => toggle(model, event.shiftKey));
  else if (!legend) setTimeout(() => choose([]));
}

async function draw(figure) {
  const text = figure.querySelector("script[type='application/json']").textContent;
  const spec = dark.matches ? recoloured(JSON.parse(text)) : JSON.parse(text);
  views.get(figure)?.view.finalize();
  const actions = {export: true, source: false, compiled: false, editor: false};
  const live = figure.querySelector(".live");
  const {view} = await vegaEmbed(live, spec, {actions, renderer: "svg"});
  view.addEventListener("click", clicked);
  views.set(figure, {view, params: (spec.params ?? []).map(param => param.name)});
  await highlight(figure);
  figure.classList.add("drawn");
  document.documentElement.dataset.drawn = String(views.size);
}

for (const button of buttons)
  button.addEventListener("click", event =>
    button.value ? toggle(button.value, event.shiftKey) : choose([]));
document.addEventListener("keydown", event => { if (event.key === "Escape") choose([]); });
dark.addEventListener("change", () => [...views.keys()].forEach(draw));

// Figures come alive as they come near, so that the page opens fast; until then, and in print,
// their pictures stand there.
const near = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries)
    if (isIntersecting) { near.unobserve(target); draw(target); }
}, {rootMargin: "300px"});
for (const figure of figures) near.observe(figure);
document.documentElement.classList.add("scripted");
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
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1>{title}</h1>
{header}
</header>
{pick}
<main id="content">
{body}
</main>
{scripts}
</body>
</html>
"""
