"use strict";
// Without this script, the page is whole: what is made here are buttons, and tabs out of sections.

const COPIED_MS = 2000; // long enough to be read
const REMEMBERED = "mockware-tab";

const made = (name, attributes, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

// ---- copying

const announced = made("p", { role: "status", class: "unseen" });
document.querySelector("main").append(announced);

const copy = async (code) => {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    // Over plain HTTP from another host there is no clipboard, or it is forbidden.
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
};

const addCopyButton = (block) => {
  const pre = block.querySelector("pre");
  const word = made("span", {}, "Copy");
  const about = made("span", { class: "unseen" }, ` the ${pre.getAttribute("aria-label")}`);
  const button = made("button", { type: "button", class: "copy" }, word, about);
  let timer;
  button.addEventListener("click", async () => {
    const done = await copy(pre.querySelector("code"));
    clearTimeout(timer);
    word.textContent = done ? "Copied" : "Selected";
    announced.textContent = done ? "Copied." : "Selected; the browser does not let this page copy it.";
    timer = setTimeout(() => {
      word.textContent = "Copy";
      announced.textContent = "";
    }, COPIED_MS);
  });
  block.append(button);
};

document.querySelectorAll(".block").forEach(addCopyButton);

// ---- tabs (https://www.w3.org/WAI/ARIA/apg/patterns/tabs/)

const remembered = () => {
  try {
    return localStorage.getItem(REMEMBERED);
  } catch {
    return null; // storage can be forbidden
  }
};

const remember = (slug) => {
  try {
    localStorage.setItem(REMEMBERED, slug);
  } catch {
    // then the next page begins with the first tab
  }
};

// `addressed`: the chosen tab is in the page's address.
const makeTabs = (group, addressed) => {
  const panels = [...group.querySelectorAll(":scope > section")];
  const list = made("div", { role: "tablist", "aria-label": group.dataset.label });
  const tabs = panels.map((panel) => {
    const heading = panel.querySelector("h3");
    const tab = made(
      "button",
      { type: "button", role: "tab", id: `tab-${panel.id}`, "aria-controls": panel.id },
      heading.textContent,
    );
    heading.hidden = true;
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    return tab;
  });
  list.append(...tabs);
  group.prepend(list);

  const choose = (chosen) => {
    tabs.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === chosen));
      tab.tabIndex = at === chosen ? 0 : -1;
      panels[at].hidden = at !== chosen;
    });
  };
  const take = (chosen) => {
    choose(chosen);
    tabs[chosen].focus();
    remember(panels[chosen].id);
    if (addressed) history.replaceState(null, "", `#${panels[chosen].id}`);
  };
  const named = (slug) => panels.findIndex((panel) => panel.id === slug);
  const fromAddress = () => (addressed ? named(location.hash.slice(1)) : -1);

  list.addEventListener("click", (event) => {
    const at = tabs.indexOf(event.target.closest("[role=tab]"));
    if (at >= 0) take(at);
  });
  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return; // those are the browser's
    const at = tabs.indexOf(event.target.closest("[role=tab]"));
    const next = {
      ArrowRight: (at + 1) % tabs.length,
      ArrowLeft: (at - 1 + tabs.length) % tabs.length,
      Home: 0,
      End: tabs.length - 1,
    }[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    take(next);
  });
  if (addressed) {
    addEventListener("hashchange", () => {
      const at = fromAddress();
      if (at >= 0) choose(at);
    });
  }
  choose(Math.max(0, fromAddress(), fromAddress() < 0 ? named(remembered()) : -1));
};

document.querySelectorAll(".tabs").forEach((group) => makeTabs(group, true));
