"use strict";
// The control page: what all of its parts stand on, the way in, and the way from view to view.
// Law: what the page knows it asks of the API beside it, with the key that was entered; what it shows is text,
// put where it belongs by `made` and `textContent`. No markup is ever made of a string: the page's policy would
// refuse it. The key is in this script's memory, and in the tab's storage for who wants that; never in an
// address, and in no cookie. Needs reference_page.js before it.

const SAID_MS = 6000;
const KEPT = "mockware-control";

const at = (id) => document.getElementById(id);
const here = new URL(".", location.href);
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dated = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "long" });
const SPANS = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

const relative = (moment) => {
  const seconds = (moment - Date.now()) / 1000;
  const [size, unit] = SPANS.find(([span]) => Math.abs(seconds) >= span) ?? SPANS.at(-1);
  return ago.format(Math.round(seconds / size), unit);
};
// Moments come as RFC 3339, or as seconds since 1970.
const moment = (value) => (value ? new Date(typeof value === "number" ? value * 1000 : value) : null);
const time = (date, text) => made("time", { datetime: date.toISOString(), title: dated.format(date) }, text);
const plural = (count, word) => `${count.toLocaleString()} ${word}${count === 1 ? "" : "s"}`;
const status = (code) => made("span", { class: `code of-${Math.trunc(code / 100)}` }, String(code));
const show = (element, ...children) => {
  element.replaceChildren(...children);
  element.hidden = children.length === 0;
};
const write = (element, text) => {
  if (element.textContent !== text) element.textContent = text; // a live region speaks when it is written to
  element.hidden = text === "";
};
const block = (code, label, language) => {
  const pre = made("pre", { tabindex: "0", role: "group", "aria-label": label });
  pre.append(made("code", { class: `language-${language}` }, code));
  const element = made("div", { class: "block" }, pre);
  addCopyButton(element);
  return element;
};
// Acts when no call has come for that long; `soon`, that long after the first of several, however many come.
const later = (wait, act) => {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), wait);
  };
};
const soon = (wait, act) => {
  let timer = null;
  const due = () => {
    timer = null;
    act();
  };
  return () => {
    timer ??= setTimeout(due, wait);
  };
};

const say = (() => {
  const element = at("said");
  const clear = later(SAID_MS, () => write(element, ""));
  write(element, "");
  return (text) => {
    write(element, text);
    clear();
  };
})();

// ---- the API

let key = "";
let by = "";
let visit = new AbortController(); // ends with the log-out

class Refused extends Error {
  constructor(response, problem) {
    super(problem.detail || `${response.status} ${response.statusText}`);
    this.code = response.status;
    this.problems = problem.problems ?? [];
    this.retryAfter = response.headers.get("retry-after");
  }
}

const call = (path, { method = "GET", json, accept = "application/json" } = {}) => {
  // Of a key beyond ASCII, the bytes of its UTF-8: a field's value is a string of bytes.
  const bytes = String.fromCharCode(...new TextEncoder().encode(key));
  const headers = { Authorization: `Bearer ${bytes}`, Accept: accept };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  const body = json === undefined ? undefined : JSON.stringify(json);
  const settings = { method, headers, body, cache: "no-store", redirect: "error", signal: visit.signal };
  return fetch(new URL(`api/${path}`, here), settings);
};

const checked = async (response) => {
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Refused(response, problem);
};

const ask = async (path, settings) => {
  const response = await checked(await call(path, settings));
  return response.status === 204 ? null : response.json();
};

const named = (name) => `rules/${encodeURIComponent(name)}`;

// What is told to the reader when something could not be done; a key that is no longer right ends the visit.
const reason = (error) => {
  if (error instanceof Refused) return error.message;
  return "The server does not answer.";
};
const failed = (error) => {
  if (error.name === "AbortError") return;
  if (error instanceof Refused && (error.code === 401 || error.code === 403)) {
    leave("The key is no longer accepted. Log in again.");
  } else {
    say(reason(error));
  }
};

// ---- the entrance

const INSIDE = ["inside", "views", "leave"];

const stored = () => {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? {};
  } catch {
    return {}; // storage can be forbidden
  }
};
const store = (value) => {
  try {
    if (value) sessionStorage.setItem(KEPT, JSON.stringify(value));
    else sessionStorage.removeItem(KEPT);
  } catch {
    // then the next page asks again
  }
};

const enter = async () => {
  visit = new AbortController();
  const rules = await ask("rules");
  at("entrance").hidden = true;
  at("key").value = "";
  for (const id of INSIDE) at(id).hidden = false;
  showRules(rules);
  turn(true);
  lookAgain();
  follow();
};

const leave = (why = "") => {
  visit.abort();
  key = "";
  store(null);
  mocked.clear();
  missed.clear();
  rows.clear();
  forgetBookmark();
  // Nothing stays behind in the page.
  for (const id of ["list", "entries", "explanation", "catalogue", "broken", "scope", "tags", "tagged"]) {
    at(id).replaceChildren();
  }
  for (const id of INSIDE) at(id).hidden = true;
  for (const form of document.querySelectorAll("form")) form.reset();
  if (dialog.open) dialog.close();
  at("by").value = by;
  at("entrance").hidden = false;
  at("key-problem").textContent = why;
  at("key").focus();
};

at("entrance").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter ?? at("entrance").querySelector("button");
  const problem = at("key-problem");
  problem.textContent = "";
  key = at("key").value.trim();
  by = at("by").value.trim();
  button.disabled = true;
  try {
    await enter();
    store(at("keep").checked ? { key, by } : null);
  } catch (error) {
    key = "";
    const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
    if (error.code === 401 || error.code === 403) problem.textContent = "That is not the key.";
    else problem.textContent = reason(error) + (error.code === 429 ? wait : "");
    at("key").setAttribute("aria-invalid", "true");
    at("key").select();
  } finally {
    button.disabled = false;
  }
});
at("leave").addEventListener("click", () => leave());

// ---- the views

const VIEWS = ["rules", "journal", "explain", "add", "statuses", "browser"];

const turn = (first = false) => {
  if (at("inside").hidden) return;
  const [word, rest] = location.hash.slice(1).split("/");
  const view = VIEWS.includes(word) ? word : "rules";
  document.body.dataset.view = view;
  for (const link of at("views").querySelectorAll("a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === "statuses") showStatuses(rest);
  if (view === "add" || view === "browser") fillCodes().catch(failed);
  if (view === "browser") showBrowser();
  const title = at(`${view}-title`);
  document.title = `${title.textContent} - mockware`;
  // As after a page that was loaded: what is new is read from its heading on.
  if (!first || view !== "rules") title.focus({ preventScroll: true });
  else at("search").focus({ preventScroll: true });
  scrollTo(0, 0);
};
addEventListener("hashchange", () => turn());
