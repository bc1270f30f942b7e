"use strict";
// The journal of the control page: what was mocked, as it comes, and what nearly was.

const SHOWN_ENTRIES = 200;
const POLL_MS = 1500; // where there are no events
const RECONNECT_MS = 2000;
const TOLD_MS = 4000; // between two announcements

// What was mocked, and what nearly was: each within its own bound, so that neither pushes the other out.
const mocked = new Map();
const missed = new Map();
let paused = false;
let near = false; // the near misses are shown, not the mocks
let untold = 0;

const entry = (one) => {
  const date = moment(one.at);
  const line = made(
    "summary",
    {},
    time(date, clock.format(date)),
    made("span", { class: "path" }, `${one.method} ${one.path}`),
    one.field ? made("span", { class: "kind" }, "no match") : one.status ? status(one.status) : made("span", { class: "kind" }, "patched"),
    made("b", {}, one.rule),
  );
  if (one.field) {
    const text = `${one.field}: expected ${one.expected}, found ${one.found}`;
    line.append(made("span", { class: "hint" }, text));
  }
  if (one.delay_s) line.append(made("span", { class: "hint" }, `after ${Math.round(one.delay_s * 1000)} ms`));
  const details = made("details", {}, line);
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) {
      details.append(block(JSON.stringify(one, null, 2), "journal entry", "json"));
    }
  });
  return made("li", {}, details);
};

const tell = soon(TOLD_MS, () => {
  if (untold && !paused) at("journal-told").textContent = `${plural(untold, "more request")} mocked.`;
  untold = 0;
});

// Entries as they come, the oldest first, into one of the two.
const journalize = (journal, entries, process, { fresh }) => {
  // Each process counts its own.
  const added = entries.map((one) => [`${process}/${one.id}`, one]).filter(([id]) => !journal.has(id));
  for (const [id, one] of added) {
    const element = entry(one);
    if (fresh) element.classList.add("new");
    journal.set(id, { one, element });
  }
  for (const id of journal.keys()) {
    if (journal.size <= SHOWN_ENTRIES) break;
    journal.delete(id); // the oldest comes first
  }
  if (!added.length) return;
  if (fresh) {
    untold += added.length;
    tell();
    refreshSoon(); // hits
  }
  if (!paused) showJournal();
};

const showJournal = () => {
  const words = at("journal-search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = ({ one }) => {
    const text = [one.method, one.path, one.status, one.rule, one.field].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const found = [...(near ? missed : mocked).values()].filter(fits);
  const elements = found.map(({ element }) => element).reverse();
  const list = at("entries");
  // Those that stand there already stay, open or focused as they are.
  for (const old of [...list.children]) if (!elements.includes(old)) old.remove();
  let before = list.firstChild;
  for (const element of elements) {
    if (element === before) before = before.nextSibling;
    else list.insertBefore(element, before);
  }
  let text = "";
  if (!elements.length && words.length) text = "No entry is like that.";
  else if (!elements.length && near) text = "No request has come near a rule and missed it.";
  else if (!elements.length) text = "No request has been mocked yet.";
  write(at("no-entries"), text);
};
at("journal-search").addEventListener("input", showJournal);

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  if (!paused) showJournal();
});

at("near").addEventListener("click", () => {
  near = !near;
  at("near").setAttribute("aria-pressed", String(near));
  showJournal();
  if (near) readMisses().catch(failed);
});

const live = (text, good) => {
  write(at("live"), text);
  at("live").classList.toggle("good", good);
};

const waited = (signal, wait) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, wait);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()));
  });

// The lines of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html). The
// browser's own EventSource cannot send the key but in the address.
const eventsOf = async function* (stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const event = { type: "message", data: [] };
      for (const line of part.split("\n")) {
        const [name, ...text] = line.split(":");
        const given = text.join(":").replace(/^ /, "");
        if (name === "event") event.type = given;
        if (name === "data") event.data.push(given);
      }
      if (event.data.length) yield { type: event.type, data: JSON.parse(event.data.join("\n")) };
    }
  }
};

const readJournal = async (fresh) => {
  const found = await ask(`journal?limit=${SHOWN_ENTRIES}`);
  journalize(mocked, found.entries.reverse(), found.process, { fresh });
};

const readMisses = async () => {
  const found = await ask(`journal?misses=1&limit=${SHOWN_ENTRIES}`);
  journalize(missed, found.misses.reverse(), found.process, { fresh: false });
};

const follow = async () => {
  const { signal } = visit;
  let fresh = false;
  let streams = true;
  while (!signal.aborted) {
    try {
      const response = streams ? await call("events", { accept: "text/event-stream" }) : null;
      if (response?.status === 501) streams = false;
      else if (response) await checked(response);
      await readJournal(fresh); // what has been before, or while nobody listened
      fresh = true;
      if (!streams) {
        live(`asked every ${POLL_MS / 1000} s`, true);
        await waited(signal, POLL_MS);
        continue;
      }
      live("live", true);
      for await (const event of eventsOf(response.body)) received(event);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && error.code < 500 && error.code !== 429) return failed(error);
    }
    live("connecting", false);
    await waited(signal, RECONNECT_MS);
  }
};

const received = ({ type, data }) => {
  if (type === "mock") journalize(mocked, [data], data.process, { fresh: true });
  else refreshSoon();
};
