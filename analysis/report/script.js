// The report alive: figures, their legends and tooltips, tables, pictures of images, contents.
// Constants that come from Python stand before this: COLOURS, VIRIDIS, LEGEND, CLICK, LABELS.

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const made = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

// --- Figures -----------------------------------------------------------------------------------

const dark = matchMedia("(prefers-color-scheme: dark)");
const figures = all("figure[data-models]");
const buttons = all(".pick button");
const said = document.querySelector(".pick output");
const views = new Map();
let chosen = [];

function recoloured(value) {
  if (Array.isArray(value)) return value.map(recoloured);
  if (value === null || typeof value !== "object") return COLOURS[value] ?? value;
  if (value.name === "viridis") return {...value, extent: VIRIDIS.dark};
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, recoloured(v)]));
}

const AXIS = 75;  // pixels beside a panel: its axis, and half of the gap to the next
const ASIDE = 110;  // pixels of a legend to the right
const LARGEST = 1.35;  // times its size at which a figure is drawn where there is room

// How many panels stand side by side, and whether legends go below them, so that a figure of this
// specification fits the width of the page.
function layout(spec, width) {
  const panels = spec.concat ?? [spec];
  const widest = Math.max(...panels.map(panel => panel.width ?? 300)) + AXIS;
  const most = Math.min(spec.columns ?? panels.length, panels.length);
  const columns = Math.max(1, Math.min(most, Math.floor((width - ASIDE) / (0.85 * widest))));
  return {columns, below: width < columns * widest + ASIDE};
}

// The title stands above the figure as text, the caption below it.
function laidOut(spec, {columns, below}) {
  const {title, ...rest} = spec;
  const stacked = {bottom: {direction: "vertical", anchor: "start", margin: 4}};
  const legend = below ? {orient: "bottom", direction: "vertical", columns: 3, layout: stacked} : {};
  const config = {...spec.config, legend: {...spec.config?.legend, ...legend}};
  return {...rest, config, ...(spec.concat ? {columns} : {})};
}

async function draw(figure) {
  const text = figure.querySelector("script[type='application/json']").textContent;
  const given = dark.matches ? recoloured(JSON.parse(text)) : JSON.parse(text);
  const width = figure.clientWidth;
  const plan = layout(given, width);
  const spec = laidOut(given, plan);
  views.get(figure)?.view.finalize();
  const live = figure.querySelector(".live");
  const options = {actions: false, renderer: "svg", tooltip: tell};
  const {view} = await vegaEmbed(live, spec, options);
  view.addEventListener("click", clicked);
  const params = (spec.params ?? []).map(param => param.name);
  views.set(figure, {view, params, plan: JSON.stringify(plan)});
  enlarge(live.querySelector("svg"));
  await highlight(figure);
  figure.classList.add("drawn");
  document.documentElement.dataset.drawn = String(views.size);
}

function enlarge(svg) {
  svg.style.width = LARGEST * svg.width.baseVal.value + "px";
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
  if (said)
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

// What a mark says, beside the pointer and within the window.
const tip = document.body.appendChild(made("dl", {id: "tip", hidden: true}));
function tell(handler, event, item, value) {
  tip.hidden = value === null || typeof value !== "object";
  if (tip.hidden) return;
  tip.replaceChildren(...Object.entries(value).flatMap(([name, text]) =>
    [made("dt", {textContent: name}), made("dd", {textContent: text})]));
  const {clientX: x, clientY: y} = event.touches?.[0] ?? event;
  const {width, height} = tip.getBoundingClientRect();
  const beside = (at, size, room) => {
    const start = at + 12 + size > room - 8 ? at - 12 - size : at + 12;
    return Math.max(8, Math.min(start, room - 8 - size)) + "px";
  };
  tip.style.left = beside(x, width, innerWidth);
  tip.style.top = beside(y, height, innerHeight);
}

function save(name, href) {
  made("a", {download: name, href}).click();
}

async function asPixels(picture) {
  await picture.decode();
  const canvas = made("canvas", {width: 2 * picture.naturalWidth, height: 2 * picture.naturalHeight});
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}

for (const figure of figures) {
  const name = figure.parentElement.id;
  const picture = figure.querySelector(".still img");
  const svg = made("button", {type: "button", textContent: "SVG"});
  const png = made("button", {type: "button", textContent: "PNG"});
  svg.addEventListener("click", () => save(name + ".svg", picture.src));
  png.addEventListener("click", async () => save(name + ".png", await asPixels(picture)));
  figure.after(made("div", {className: "tools"}, "Save this figure:", svg, png));
}

for (const button of buttons)
  button.addEventListener("click", event =>
    button.value ? toggle(button.value, event.shiftKey) : choose([]));
document.addEventListener("keydown", event => {
  if (event.key !== "Escape") return;
  tip.hidden = true;
  choose([]);
});
addEventListener("scroll", () => { tip.hidden = true; }, {passive: true});
dark.addEventListener("change", () => [...views.keys()].forEach(draw));

// Figures come alive as they come near, so that the page opens fast; until then their pictures
// hold their place.
const near = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries)
    if (isIntersecting) { near.unobserve(target); draw(target); }
}, {rootMargin: "300px"});
for (const figure of figures) near.observe(figure);

addEventListener("resize", () => {
  for (const [figure, {plan}] of views) {
    const spec = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    if (JSON.stringify(layout(spec, figure.clientWidth)) !== plan) draw(figure);
  }
});

// --- Tables ------------------------------------------------------------------------------------

const FEW = 10;  // rows that need no search
const MOST_VALUES = 12;  // that a column may have and still be one to filter by
const MOST_LETTERS = 40;  // of each of them

// A row, or all rows of a claim, is shown if it has the words and each filter its value. Cells are
// counted from the right: those on the left may span several rows.
function searchable(table, box) {
  const heads = all("thead th", table);
  const groups = table.tBodies.length > 1 ? [...table.tBodies] : [...table.tBodies[0].rows];
  if (groups.length <= FEW) return;
  const rowsOf = group => group.rows ? [...group.rows] : [group];
  const cell = (row, at) => row.cells[row.cells.length - heads.length + at]?.textContent.trim();
  const search = made("input", {type: "search"});
  const count = made("output");
  const filters = heads.flatMap((head, at) => {
    const cells = groups.flatMap(rowsOf).map(row => cell(row, at)).filter(text => text);
    const values = [...new Set(cells)].sort((a, b) => compared(a, b));
    const measured = values.some(value => value.includes(".") && !isNaN(number(value)));
    const long = measured || values.some(value => value.length > MOST_LETTERS);
    if (values.length < 2 || values.length > MOST_VALUES || long) return [];
    const options = values.map(value => made("option", {value, textContent: value}));
    const select = made("select", {}, made("option", {value: "", textContent: "all"}), ...options);
    return [{at, select, name: head.textContent}];
  });
  function show() {
    const words = search.value.toLowerCase().split(/\s+/);
    const kept = groups.filter(group => {
      const text = group.textContent.toLowerCase();
      const fits = row => filters.every(({at, select}) =>
        !select.value || cell(row, at) === select.value);
      group.hidden = !(words.every(word => text.includes(word)) && rowsOf(group).some(fits));
      return !group.hidden;
    });
    count.textContent = `${kept.length} of ${groups.length}`;
  }
  for (const control of [search, ...filters.map(({select}) => select)])
    control.addEventListener("input", show);
  const labels = filters.map(({name, select}) => made("label", {}, name + " ", select));
  box.before(made("div", {className: "find"}, made("label", {}, "Search ", search), ...labels, count));
  show();
}

const NUMBER = /^[-+\u00b1]?[\d,]*\.?\d+(e[-+]?\d+)?[%\u00b0]?$/;
const number = text => NUMBER.test(text) ? parseFloat(text.replace(/[,\u00b1]/g, "")) : NaN;

// Numbers by size, other texts by alphabet, and nothing last.
function compared(a, b) {
  if (!a || !b) return !a - !b;
  const [x, y] = [number(a), number(b)];
  return isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y;
}

function sortable(table) {
  const body = table.tBodies[0];
  if (table.tBodies.length > 1 || body.rows.length < 2) return;
  const heads = all("thead th", table);
  heads.forEach((head, at) => {
    const button = made("button", {type: "button"}, ...head.childNodes);
    head.append(button);
    head.ariaSort = "none";
    button.addEventListener("click", () => {
      const down = head.ariaSort === "ascending";
      for (const other of heads) other.ariaSort = "none";
      head.ariaSort = down ? "descending" : "ascending";
      const text = row => row.cells[at].textContent.trim();
      const order = (a, b) => compared(text(a), text(b));
      const turned = (a, b) => text(a) && text(b) ? order(b, a) : order(a, b);
      body.append(...[...body.rows].sort(down ? turned : order));
    });
  });
}

const hinted = new ResizeObserver(entries => {
  for (const {target} of entries)
    target.previousElementSibling.hidden = target.scrollWidth <= target.clientWidth + 1;
});

for (const box of all(".wide")) {
  const table = box.querySelector("table");
  sortable(table);
  searchable(table, box);
  box.before(made("p", {className: "hint", hidden: true, textContent: "Scroll sideways for more \u2192"}));
  hinted.observe(box);
}

// --- Pictures of images ------------------------------------------------------------------------

const large = document.body.appendChild(made("dialog"));
large.setAttribute("aria-label", "A picture, enlarged");
large.addEventListener("click", () => large.close());
for (const button of all(".picture button"))
  button.addEventListener("click", () => {
    const copy = button.closest(".picture").cloneNode(true);
    copy.querySelector("button").replaceWith(copy.querySelector("img"));
    const close = made("button", {type: "button", textContent: "Close"});
    large.replaceChildren(copy, close);
    large.showModal();
  });

// --- Contents ----------------------------------------------------------------------------------

const contents = document.querySelector("nav details");
const besides = matchMedia("(min-width: 64rem)");
const unfold = () => { contents.open = besides.matches; };
besides.addEventListener("change", unfold);
unfold();
const links = new Map(all("nav a").map(link => [link.hash.slice(1), link]));
for (const link of links.values())
  link.addEventListener("click", () => { if (!besides.matches) contents.open = false; });

const seen = new Set();
const place = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries)
    isIntersecting ? seen.add(target.id) : seen.delete(target.id);
  const first = [...links.keys()].find(id => seen.has(id));
  for (const [id, link] of links)
    id === first ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
}, {rootMargin: "-60px 0px -40% 0px"});
for (const id of links.keys()) place.observe(document.getElementById(id));

document.documentElement.classList.add("scripted");
