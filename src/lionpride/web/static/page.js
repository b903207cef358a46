// Keeps a page up to date, and zooms the timeline. Everything else works without it.
"use strict";

(() => {
  const root = document.body.dataset.root;
  const every = Number(document.body.dataset.every);
  const button = document.getElementById("live");
  const word = button.querySelector(".word");

  // --- parts of the page that are replaced when something has changed

  let version = document.body.dataset.version; // of the displayed data
  let held = false; // paused by the button
  let wanted = false; // the data has changed since the last refresh
  let timer = 0;
  let next = 0; // not before this time

  function show(state, text) {
    if (!held) {
      button.dataset.state = state;
      word.textContent = text;
    }
  }

  function changed() {
    wanted = true;
    if (!timer && !held && !document.hidden) {
      timer = setTimeout(refresh, Math.max(0, next - performance.now()));
    }
  }

  async function refresh() {
    const began = performance.now();
    wanted = false;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      const text = await answer.text();
      if (answer.ok && !held) {
        replace(new DOMParser().parseFromString(text, "text/html"));
      }
    } catch {
      // the connection is lost: the event source or the poll shows it
    }
    // A page that is slow to make is requested less often.
    next = performance.now() + Math.max(every, 8 * (performance.now() - began));
    timer = 0;
    if (wanted) changed();
  }

  function replace(fresh) {
    version = fresh.body.dataset.version;
    const selected = getSelection();
    for (const old of document.querySelectorAll("[data-live]")) {
      const now = fresh.getElementById(old.id);
      if (!now) {
        old.replaceChildren();
        continue;
      }
      if (old.innerHTML === now.innerHTML) continue;
      if (selected && !selected.isCollapsed && old.contains(selected.anchorNode)) continue;
      if (old.querySelector(".marquee")) continue; // a range is being selected
      const open = [...old.querySelectorAll("details[open]")].map((each) => each.id);
      const place = placeOf(old, document.activeElement);
      const scrolled = [...old.querySelectorAll(".scroll, .chunks")].map((e) => [e.scrollLeft, e.scrollTop, e.scrollHeight - e.clientHeight - e.scrollTop < 8]);
      old.replaceChildren(...document.importNode(now, true).childNodes);
      for (const id of open) old.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
      old.querySelectorAll(".scroll, .chunks").forEach((e, i) => {
        if (!scrolled[i]) return;
        e.scrollLeft = scrolled[i][0];
        e.scrollTop = scrolled[i][2] && e.matches(".chunks") ? e.scrollHeight : scrolled[i][1];
      });
      if (place) find(old, place)?.focus({ preventScroll: true });
    }
    for (const now of fresh.querySelectorAll("[data-live]")) {
      if (!document.getElementById(now.id)) insert(now);
    }
  }

  // Insert a new part behind the one that it follows.
  function insert(now) {
    const copy = document.importNode(now, true);
    let before = now.previousElementSibling;
    while (before && !(before.id && document.getElementById(before.id))) before = before.previousElementSibling;
    if (before) document.getElementById(before.id).after(copy);
  }

  const FOCUSABLE = "a[href], button, summary, [tabindex]";

  function placeOf(part, element) {
    if (!element || element === document.body || !part.contains(element)) return null;
    const href = element.getAttribute("href");
    return { href, at: [...part.querySelectorAll(FOCUSABLE)].indexOf(element) };
  }

  function find(part, place) {
    const all = [...part.querySelectorAll(FOCUSABLE)];
    return all.find((each) => place.href && each.getAttribute("href") === place.href) || all[place.at];
  }

  // --- notifications of changes: an event stream, or polling

  let failures = 0;

  function listen() {
    const source = new EventSource(`${root}/live`);
    source.onmessage = (event) => {
      failures = 0;
      show("live", "Live");
      if (event.data !== version) changed();
    };
    source.addEventListener("unavailable", () => show("offline", "Offline"));
    source.onerror = () => {
      show("offline", "Offline");
      if (++failures >= 3 || source.readyState === EventSource.CLOSED) {
        source.close();
        poll();
      }
    };
    addEventListener("pagehide", () => source.close(), { once: true });
  }

  async function poll() {
    try {
      const answer = await fetch(`${root}/version`);
      const now = await answer.text();
      if (!answer.ok) throw new Error(now);
      show("polling", "Polling");
      if (now !== version) changed();
    } catch {
      show("offline", "Offline");
    }
    setTimeout(poll, 3000);
  }

  // Show the last chunks of a stream that is still running.
  if (document.querySelector("#title .s-processing")) {
    for (const list of document.querySelectorAll(".chunks")) list.scrollTop = list.scrollHeight;
  }

  if (document.querySelector("[data-live]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      held = !held;
      button.setAttribute("aria-pressed", String(!held));
      if (held) {
        button.dataset.state = "held";
        word.textContent = "Paused";
      } else {
        show("live", "Live");
        changed();
      }
    });
    document.addEventListener("visibilitychange", () => wanted && changed());
    addEventListener("pageshow", (event) => event.persisted && changed());
    if (window.EventSource) listen();
    else poll();
  }

  // --- the timeline: keys, and dragging over a time range

  const KEYS = { "+": "zoom-in", "=": "zoom-in", "-": "zoom-out", ArrowLeft: "earlier", ArrowRight: "later" };

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    const bar = event.target.closest?.(".bars > a");
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (bar && step) {
      const all = [...bar.parentNode.children];
      all[Math.min(all.length - 1, Math.max(0, all.indexOf(bar) + step))].focus();
      event.preventDefault();
      return;
    }
    const there = KEYS[event.key] && document.getElementById(KEYS[event.key]);
    if (there) {
      event.preventDefault();
      location.assign(there.href);
    }
  });

  document.addEventListener("pointerdown", (event) => {
    const timeline = event.target.closest?.(".timeline");
    if (!timeline || event.button !== 0 || event.pointerType === "touch") return;
    const box = timeline.getBoundingClientRect();
    const share = (x) => Math.min(1, Math.max(0, (x - box.left) / box.width));
    const from = share(event.clientX);
    let to = from;
    const marquee = document.createElement("div");
    marquee.className = "marquee";
    const move = (next) => {
      to = share(next.clientX);
      if (Math.abs(to - from) * box.width < 4 && !marquee.isConnected) return;
      if (!marquee.isConnected) timeline.append(marquee);
      marquee.style.left = `${Math.min(from, to) * 100}%`;
      marquee.style.width = `${Math.abs(to - from) * 100}%`;
    };
    const up = () => {
      removeEventListener("pointermove", move);
      const dragged = marquee.isConnected;
      marquee.remove();
      if (!dragged) return;
      addEventListener("click", (click) => click.preventDefault(), { once: true, capture: true });
      const begin = Number(timeline.dataset.from);
      const length = Number(timeline.dataset.to) - begin;
      const [low, high] = [Math.min(from, to), Math.max(from, to)];
      const query = new URLSearchParams({ from: (begin + low * length).toFixed(3), to: (begin + high * length).toFixed(3) });
      location.assign(`${root}/timeline?${query}`);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", up, { once: true });
  });
  document.addEventListener("dragstart", (event) => event.target.closest?.(".timeline") && event.preventDefault());
})();
