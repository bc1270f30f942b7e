"use strict";
// The rules on the control page: which there are, which are on, and what has to be known first.

const SHOWN_RULES = 200; // more than anybody reads; the search finds the others
const LOOK_AGAIN_MS = 3000; // what other workers and other people change is seen then

const rows = new Map();
let known = [];
let onlyTag = null;

const lookUp = async () => {
  showRules(await ask("rules"));
  write(at("lost"), "");
};
const refresh = async () => {
  try {
    await lookUp();
  } catch (error) {
    if (error instanceof Refused) failed(error);
    else if (error.name !== "AbortError") write(at("lost"), "The server does not answer. What stands here may be old.");
  }
};
const refreshSoon = soon(150, refresh);
const lookAgain = () => {
  const { signal } = visit;
  const look = () => {
    if (document.hidden) return;
    refresh();
    if (near) readMisses().catch(() => {}); // whoever asked for the rules has said it
  };
  const timer = setInterval(look, LOOK_AGAIN_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
};

// The row of a rule is made once and changed in place, so that focus and what is open stay where they are.
const makeRow = (name) => {
  const parts = {};
  const part = (key, tag, attributes = {}, ...children) =>
    (parts[key] = made(tag, attributes, ...children));
  const element = made(
    "li",
    { class: "rule" },
    part("toggle", "button", { type: "button", role: "switch", "aria-label": name }),
    made(
      "div",
      {},
      made("h3", {}, made("span", {}, name), part("what", "span"), part("flags", "span")),
      part("match", "p", { class: "path" }),
      part("about", "p", { class: "hint" }),
      part("change", "p", { class: "change" }),
      made(
        "div",
        { class: "acts" },
        part("revert", "button", { type: "button" }, "Put back", made("span", { class: "unseen" }, ` ${name}`)),
        part("details", "button", { type: "button", "aria-expanded": "false" }),
      ),
    ),
    part("tally", "p", { class: "tally" }),
    part("more", "div", { class: "more" }),
  );
  parts.more.hidden = true;
  parts.details.append("Details", made("span", { class: "unseen" }, ` of ${name}`));
  const row = { element, parts, rule: null };
  parts.toggle.addEventListener("click", () => openSwitch(row.rule));
  parts.revert.addEventListener("click", () => openRevert(row.rule));
  parts.details.addEventListener("click", () => showDetails(row));
  return row;
};

const updateRow = (row, rule) => {
  const { element, parts } = row;
  row.rule = rule;
  const on = rule.on && !rule.expired;
  element.classList.toggle("off", !on);
  element.classList.toggle("changed", Boolean(rule.change));
  parts.toggle.setAttribute("aria-checked", String(rule.on));
  show(parts.what, ...whatItDoes(rule));
  const flags = [...rule.tags];
  show(parts.flags, ...flags.flatMap((tag) => [made("span", { class: "small" }, tag), " "]));
  write(parts.match, rule.match);
  write(parts.about, [rule.action.summary, rule.source, endOf(rule)].filter(Boolean).join(" · "));
  show(parts.change, ...changeOf(rule));
  parts.revert.hidden = !rule.change;
  const last = moment(rule.last_hit);
  const tally = [made("b", {}, rule.hits.toLocaleString()), rule.hits === 1 ? " hit" : " hits"];
  if (last) tally.push(made("br", {}), " ", time(last, relative(last)));
  show(parts.tally, ...tally);
};

const whatItDoes = ({ action }) => {
  const kind = action.kind === "reply" ? "" : action.kind;
  return [action.status ? status(action.status) : "", kind && " ", kind && made("span", { class: "kind" }, kind)].filter(Boolean);
};

const endOf = (rule) => {
  const date = moment(rule.expires);
  return date ? `${rule.expired ? "expired" : "expires"} ${relative(date)}` : "";
};

// Who did it, what, why, and when it ends.
const changeOf = (rule) => {
  const change = rule.change;
  if (!change) return [];
  const verb = rule.declared_on === null ? "Added" : rule.runtime ? "Replaced" : `Switched ${rule.on ? "on" : "off"}`;
  const parts = [`${verb} by `, made("b", {}, change.by)];
  const until = moment(change.until);
  if (until) parts.push(", ends ", time(until, relative(until)));
  if (change.uses_left !== null) parts.push(`, or after ${plural(change.uses_left, "more use")}`);
  if (change.why) parts.push(`: \u201c${change.why}\u201d`);
  return parts;
};

const showDetails = async ({ rule, parts }) => {
  const open = parts.details.getAttribute("aria-expanded") === "true";
  parts.details.setAttribute("aria-expanded", String(!open));
  parts.more.hidden = open;
  if (open) return;
  try {
    const found = await ask(named(rule.name));
    show(parts.more, block(JSON.stringify(found, null, 2), `rule ${rule.name}`, "json"));
  } catch (error) {
    failed(error);
  }
};

const showRules = (found) => {
  known = found.rules;
  const names = new Set(known.map((rule) => rule.name));
  for (const name of rows.keys()) if (!names.has(name)) rows.delete(name);
  for (const rule of known) {
    if (!rows.has(rule.name)) rows.set(rule.name, makeRow(rule.name));
    updateRow(rows.get(rule.name), rule);
  }
  const on = known.filter((rule) => rule.on).length;
  at("reset").hidden = !known.some((rule) => rule.change);
  write(at("summary"), `${on.toLocaleString()} of ${plural(known.length, "rule")} on`);
  showState(found);
  showTags();
  narrow();
};

const narrow = () => {
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (rule) => {
    const { kind, status: code } = rule.action;
    const text = [rule.name, rule.match, kind, code, ...rule.tags, rule.change?.by].join(" ").toLowerCase();
    return (onlyTag === null || rule.tags.includes(onlyTag)) && words.every((word) => text.includes(word));
  };
  const found = known.filter(fits);
  const elements = found.slice(0, SHOWN_RULES).map((rule) => rows.get(rule.name).element);
  const list = at("list");
  const same = elements.length === list.children.length && elements.every((one, n) => one === list.children[n]);
  if (!same) {
    const focused = document.activeElement;
    list.replaceChildren(...elements);
    if (list.contains(focused)) focused.focus({ preventScroll: true }); // moving an element takes it away
  }
  const left = found.length - elements.length;
  let text = "";
  if (!known.length) text = "There are no rules. Add one, or ask for a status with a trigger.";
  else if (!found.length) text = "No rule is like that.";
  else if (left) text = `${plural(left, "more rule")} not shown; search for what you mean.`;
  write(at("nothing"), text);
};
at("search").addEventListener("input", narrow);

const showTags = () => {
  const tags = [...new Set(known.flatMap((rule) => rule.tags))].sort();
  if (onlyTag !== null && !tags.includes(onlyTag)) onlyTag = null;
  const box = at("tags");
  const present = [...box.children].map((button) => button.textContent);
  if (present.join("\n") !== tags.join("\n")) {
    show(box, ...tags.map((tag) => {
      const button = made("button", { type: "button", class: "tag" }, tag);
      button.addEventListener("click", () => {
        onlyTag = onlyTag === tag ? null : tag;
        showTags();
        narrow();
      });
      return button;
    }));
  }
  for (const button of box.children) button.setAttribute("aria-pressed", String(button.textContent === onlyTag));
  if (at("tagged").dataset.tag === (onlyTag ?? "")) return;
  at("tagged").dataset.tag = onlyTag ?? "";
  const all = (on) => {
    const button = made("button", { type: "button" }, `Switch all of ${onlyTag} ${on ? "on" : "off"}`);
    const tag = onlyTag;
    button.addEventListener("click", () => openTag(tag, on));
    return button;
  };
  show(at("tagged"), ...(onlyTag === null ? [] : [all(true), all(false)]));
};

// ---- what has to be known first: for whom this speaks, and what is wrong with the files

const showState = (found) => {
  const alone = "This page speaks for one worker only. If there are several, what is switched here holds for the " +
    "requests that one of them answers. A store that all share (MOCKWARE_STORE, SQLite or Redis) reaches all.";
  const away = "The store does not answer: nothing can be switched, and the last known changes hold.";
  const speaksFor = found.scope === "process" ? alone : found.store_away ? away : "";
  const others = found.elsewhere.map((rules) => `This process has ${rules} elsewhere, and they may answer in the app.`);
  write(at("scope"), [speaksFor, ...others].filter(Boolean).join(" "));
  const problems = (found.problems ?? []).map(problemText);
  const box = at("broken");
  if (box.dataset.shown === problems.join("\n")) return;
  box.dataset.shown = problems.join("\n");
  show(box, ...(problems.length ? [
    made("h2", {}, "The rules file is broken; the last good one still holds"),
    made("ul", {}, ...problems.map((problem) => made("li", {}, problem))),
  ] : []));
};

const problemText = ({ source, rule, key, value, message }) =>
  [source, rule, key, value, message].filter(Boolean).join(": ");
