"use strict";
// The cookie that mocks what this browser asks for: set, taken back, and as a bookmark that does both.
// Law: what the cookie says comes from the server, and has a token in it, never the key. Scripts of the app can
// read it, as they can every cookie that a script has set; so it is worth one status for a while, and no more.

let cookieName = null;

// RFC 6265 section 4.1: what a bookmark says is what the page says. It is for every path, is sent by no other
// site's forms and frames, and does not outlive its token.
const cookieText = (name, value, seconds) =>
  `${name}=${value}; Path=/; SameSite=Lax; Max-Age=${seconds}${location.protocol === "https:" ? "; Secure" : ""}`;

const cookieNow = () => {
  const pair = document.cookie.split("; ").find((one) => one.startsWith(`${cookieName}=`));
  if (!pair) return "";
  const value = pair.slice(cookieName.length + 1);
  try {
    return decodeURIComponent(value).split(";")[0];
  } catch {
    return value; // somebody else's
  }
};

const showCookie = () => {
  const asks = cookieName === null ? "" : cookieNow();
  write(at("cookie-now"), asks ? `This browser asks for ${asks}.` : "This browser asks for nothing.");
  at("cookie-clear").hidden = !asks;
};

const showBrowser = async () => {
  try {
    const found = await ask("cookie");
    cookieName = found.name;
    at("cookie-on").hidden = cookieName === null;
    show(at("cookie-off"), ...(cookieName === null ? howToHaveOne(found.unavailable) : []));
    showCookie();
  } catch (error) {
    failed(error);
  }
};

const howToHaveOne = (why) => [
  made("p", {}, `A cookie can ask for mocks, where that is switched on. Here it is not: ${why}.`),
  made("p", {}, "In the rules file, which is read again by itself:"),
  block('[trigger]\ncookie = "mock"', "table of the rules file", "toml"),
];

at("cookie").addEventListener("submit", async (event) => {
  event.preventDefault();
  const problem = at("cookie-problem");
  const paths = at("cookie-paths").value.split(/\s+/).filter(Boolean);
  const json = { by, status: at("cookie-status").value.trim(), for: at("cookie-for").value.trim(), paths };
  problem.textContent = "";
  for (const input of at("cookie").querySelectorAll("input")) input.removeAttribute("aria-invalid");
  try {
    const found = await ask("cookie", { method: "POST", json });
    document.cookie = cookieText(found.name, found.value, found.max_age_s);
    showBookmark(found);
    showCookie();
    if (cookieNow() === found.asks) say(`This browser asks for ${found.asks} until ${dated.format(moment(found.expires))}.`);
    else problem.textContent = "The browser takes no cookie from this page.";
  } catch (error) {
    if (!(error instanceof Refused) || error.code === 401) return failed(error);
    problem.textContent = refusal(error);
    const wrong = ["status", "paths", "for"].filter((name) => error.problems.some(({ key }) => key === name));
    for (const name of wrong) at(`cookie-${name}`).setAttribute("aria-invalid", "true");
    if (wrong.length) at(`cookie-${wrong[0]}`).focus();
  }
});

at("cookie-clear").addEventListener("click", () => {
  document.cookie = cookieText(cookieName, "", 0);
  showCookie();
  say("This browser asks for nothing.");
  at("cookie-status").focus(); // the button has gone
});

// ---- the bookmark

// Run by a page of the app, by hand. Elsewhere it would give the token to strangers.
const bookmarked = (origin, name, value, asks, ends) => {
  if (location.origin !== origin) return alert(`This mock is for ${origin}, and this is ${location.origin}.`);
  const attributes = `; Path=/; SameSite=Lax${location.protocol === "https:" ? "; Secure" : ""}; Max-Age=`;
  if (document.cookie.split("; ").includes(`${name}=${value}`)) {
    document.cookie = `${name}=${attributes}0`;
    return alert("Mocks are off: this browser asks for nothing.");
  }
  const seconds = Math.floor((ends - Date.now()) / 1000);
  if (seconds < 1) return alert("This mock has expired. Make another one on the control page.");
  document.cookie = `${name}=${value}${attributes}${seconds}`;
  return alert(`Mocks are on: this browser asks for ${asks}.`);
};

const showBookmark = ({ name, value, asks, expires }) => {
  const given = [location.origin, name, value, asks, moment(expires).getTime()];
  const code = `void (${bookmarked})(...${JSON.stringify(given)})`;
  const link = at("bookmark");
  link.textContent = `Mock ${asks}`;
  // This page's own policy lets no such link run here; on a page of the app, a bookmark is the reader's doing.
  link.setAttribute("href", `javascript:${encodeURIComponent(code)}`);
  show(at("bookmark-code"), block(link.getAttribute("href"), "bookmark", "sh"));
  write(at("bookmark-ends"), `It switches the mock on and off, until ${dated.format(moment(expires))}.`);
  at("bookmarks").hidden = false;
};

at("bookmark").addEventListener("click", (event) => {
  event.preventDefault();
  say("Drag it to your bookmarks, and click it there on a page of the app.");
});

const forgetBookmark = () => {
  at("bookmarks").hidden = true;
  at("bookmark").removeAttribute("href");
  at("bookmark-code").replaceChildren();
};
