// Sheets: all tiles stand in a <noscript>; of those that are shown, the ones near the view are put into the page.
const CHUNK = 60; // tiles that come and go together: whole rows where there are one to six columns
const NEAR = "1500px";

const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'" };
const unescape = html => html.replace(/&(amp|lt|gt|quot|#x27);/g, found => ENTITIES[found]);

// A line of the <noscript>. Nothing is read of it before it is asked for: most tiles are never looked at.
class Tile {
  #html; #figure; #found;
  constructor(html) { this.#html = html; }
  get figure() {
    if (!this.#figure) {
      const template = document.createElement("template");
      template.innerHTML = this.#html;
      this.#figure = template.content.firstElementChild;
    }
    return this.#figure;
  }
  get found() {
    return (this.#found ??= this.#read());
  }
  #read() {
    const data = name => JSON.parse(unescape(this.#html.match(` data-${name}="([^"]*)"`)[1]));
    const text = unescape(this.#html.replace(/<[^>]*>/g, " ")).toLowerCase();
    return { text, facets: data("facets"), keys: data("keys") };
  }
}

const choose = (tiles, asked, facets) => {
  const words = asked.find.toLowerCase().split(/\s+/).filter(Boolean);
  const [least, most] = [asked.least, asked.most].map(text => (text ? Number(text) : null));
  const chosen = facets.filter(facet => asked[facet]);
  const isShown = ({ found: { text, facets: has, keys } }) =>
    words.every(word => text.includes(word)) &&
    chosen.every(facet => has[facet]?.includes(asked[facet])) &&
    (least === null || keys[asked.key] >= least) &&
    (most === null || keys[asked.key] <= most);
  const isAsked = words.length || chosen.length || least !== null || most !== null;
  const shown = isAsked ? tiles.filter(isShown) : [...tiles];
  if (!asked.order) return shown;
  const sign = asked.order.startsWith("-") ? -1 : 1;
  const key = asked.order.replace(/^-/, "");
  const value = ({ found: { keys } }) => (key in keys ? sign * keys[key] : Number.MAX_VALUE);
  return shown.sort((a, b) => value(a) - value(b));
};

const makeGrid = grid => {
  let shown = [];
  const first = chunk => CHUNK * chunk.dataset.number;
  const part = chunk => shown.slice(first(chunk), first(chunk) + CHUNK);
  const fill = chunk => {
    if (chunk.firstChild) return;
    part(chunk).forEach(({ figure }, place) => {
      figure.setAttribute("aria-posinset", first(chunk) + place + 1);
      figure.setAttribute("aria-setsize", shown.length);
      chunk.append(figure);
    });
    chunk.style.minHeight = "";
  };
  const empty = chunk => {
    if (!chunk.firstChild || chunk.contains(document.activeElement)) return;
    chunk.style.minHeight = `${chunk.offsetHeight}px`;
    chunk.replaceChildren();
  };
  const watch = new IntersectionObserver(
    seen => seen.forEach(({ target, isIntersecting }) => (isIntersecting ? fill(target) : empty(target))),
    { rootMargin: NEAR },
  );
  return chosen => {
    shown = chosen;
    const chunks = Array.from({ length: Math.ceil(shown.length / CHUNK) }, (_, number) => {
      const chunk = document.createElement("div");
      chunk.className = "tiles";
      chunk.dataset.number = number;
      return chunk;
    });
    watch.disconnect();
    grid.replaceChildren(...chunks);
    if (!chunks.length) return;
    fill(chunks[0]);
    const height = chunks[0].offsetHeight / part(chunks[0]).length;
    for (const chunk of chunks.slice(1)) chunk.style.minHeight = `${height * part(chunk).length}px`;
    for (const chunk of chunks) watch.observe(chunk);
  };
};

for (const [number, sheet] of [...document.querySelectorAll("[data-sheet]")].entries()) {
  const form = sheet.querySelector("form");
  const facets = [...form.querySelectorAll("[data-facet]")].map(select => select.name);
  const lines = sheet.querySelector("noscript").textContent.split("\n").filter(line => line.startsWith("<figure"));
  const tiles = lines.map(line => new Tile(line));
  const arrange = makeGrid(sheet.querySelector(".sheet"));
  const prefix = number ? `${number + 1}.` : "";

  const show = () => {
    const asked = Object.fromEntries(new FormData(form));
    const shown = choose(tiles, asked, facets);
    form.querySelector("output").textContent = `${shown.length} of ${tiles.length}`;
    if (asked.key) {
      const { low, high } = form.elements.key.selectedOptions[0].dataset;
      form.elements.least.placeholder = low;
      form.elements.most.placeholder = high;
    }
    arrange(shown);
    return asked;
  };
  // The address says what is shown, so that it can be kept and sent to somebody.
  const say = asked => {
    const all = new URLSearchParams(location.hash.slice(1));
    for (const [name, value] of Object.entries(asked)) {
      const needless = !value || (name === "key" && !asked.least && !asked.most);
      if (needless) all.delete(prefix + name);
      else all.set(prefix + name, value);
    }
    history.replaceState(null, "", `#${all}`);
  };
  const hear = () => {
    form.reset();
    for (const [name, value] of new URLSearchParams(location.hash.slice(1)))
      if (name.startsWith(prefix)) {
        const control = form.elements[name.slice(prefix.length)];
        if (control) control.value = value;
      }
    show();
  };
  form.hidden = false;
  form.addEventListener("input", () => say(show()));
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => say(show())));
  addEventListener("hashchange", hear);
  hear();
}
