"use strict";
// The reference of each status on the control page; and, since it comes last, the beginning.

let catalogue = null;

const allStatuses = async () => (catalogue ??= (await ask("statuses")).statuses);

const fillCodes = async () => {
  const options = (await allStatuses()).map(({ code, phrase }) => made("option", { value: String(code) }, phrase));
  at("codes").replaceChildren(...options);
};

let asked = "";

const showStatuses = async (code) => {
  asked = code ?? "";
  const mine = asked;
  try {
    const parts = /^[2-5][0-9]{2}$/.test(asked) ? await oneStatus(asked) : await everyStatus();
    if (mine === asked) show(at("catalogue"), ...parts);
  } catch (error) {
    failed(error);
  }
};

const everyStatus = async () => {
  const items = (await allStatuses()).map(({ code, phrase, meaning }) =>
    made(
      "li",
      {},
      made("a", { href: `#statuses/${code}` }, status(code), ` ${phrase}`),
      made("p", {}, meaning),
    ),
  );
  return [made("ul", { class: "statuses" }, ...items)];
};

const oneStatus = async (code) => {
  const found = await ask(`statuses/${code}`);
  const tabs = made("div", { class: "tabs", "data-label": "Frameworks" });
  for (const { framework, title, language, files } of found.snippets) {
    const code = block(files.map(({ text }) => text).join("\n"), `code for ${title}`, language);
    tabs.append(made("section", { id: framework }, made("h3", {}, title), code));
  }
  makeTabs(tabs, false);
  return [
    made("p", { class: "back" }, made("a", { href: "#statuses" }, "All statuses")),
    made("h3", {}, status(found.code), ` ${found.phrase}`),
    made("p", { class: "meaning" }, found.meaning),
    made("p", {}, "Defined in ", made("a", { href: found.link, rel: "noreferrer" }, found.section), "."),
    made("h3", {}, "Response"),
    block(found.response.raw, "response", "http"),
    made("h3", {}, "Ask for it"),
    found.curl ? block(found.curl, "curl line", "sh") : made("p", {}, `Not here: ${found.unavailable}.`),
    made("h3", {}, "Code that gives it"),
    tabs,
  ];
};

// ---- begin

at("host").textContent = location.host;
{
  const kept = stored();
  by = kept.by ?? "";
  at("by").value = by;
  if (kept.key) {
    key = kept.key;
    at("keep").checked = true;
    enter().catch((error) => leave(error instanceof Refused ? "" : reason(error)));
  } else {
    at("entrance").hidden = false;
    at("by").focus();
  }
}
