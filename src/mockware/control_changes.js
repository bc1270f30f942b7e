"use strict";
// Changes from the control page: a switch, its way back, and new rules. Each says who, why, and for how long.

const TYPED_MS = 250; // a pause in typing

const dialog = at("change");
let plan = null; // what the dialog is about: its words, and what to ask of the API

const open = (next) => {
  plan = next;
  at("change-title").textContent = next.title;
  at("change-about").textContent = next.about ?? "";
  at("confirm").textContent = next.verb;
  at("change-problem").textContent = "";
  at("change-terms").hidden = !next.lasts;
  at("change-uses-field").hidden = !next.counts;
  at("change-uses").value = "";
  dialog.showModal();
  at("change-why").select();
};

const lasting = () => at("change-for").value.trim();

const openSwitch = (rule) => {
  const word = rule.on ? "off" : "on";
  open({
    title: `Switch ${rule.name} ${word}`,
    about: rule.match,
    verb: `Switch ${word}`,
    lasts: true,
    counts: !rule.on,
    act: () => ask(named(rule.name), { method: "PATCH", json: { on: !rule.on, ...terms("change") } }),
    done: () => `${rule.name} is ${word} for ${lasting()}.`,
  });
};

const openTag = (tag, on) => {
  const word = on ? "on" : "off";
  open({
    title: `Switch all of ${tag} ${word}`,
    verb: `Switch ${word}`,
    lasts: true,
    act: () => ask(`tags/${encodeURIComponent(tag)}`, { method: "PATCH", json: { on, ...terms("change") } }),
    done: () => `All of ${tag} are ${word} for ${lasting()}.`,
  });
};

const openRevert = (rule) => {
  const goes = rule.declared_on === null;
  const query = () => new URLSearchParams({ by, why: at("change-why").value.trim() });
  open({
    title: goes ? `Remove ${rule.name}` : `Put ${rule.name} back`,
    about: goes ? rule.match : `It will be ${rule.declared_on ? "on" : "off"} again, as it is declared.`,
    verb: goes ? "Remove" : "Put back",
    act: () => ask(`${named(rule.name)}?${query()}`, { method: "DELETE" }),
    done: () => (goes ? `${rule.name} is gone.` : `${rule.name} is as it was declared.`),
  });
};

const terms = (prefix) => {
  const uses = at(`${prefix}-uses`).value.trim();
  const found = { by, why: at(`${prefix}-why`).value.trim(), for: at(`${prefix}-for`).value.trim() };
  if (uses) found.uses = /^[0-9]+$/.test(uses) ? Number(uses) : uses;
  return found;
};

at("change-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("change-problem").textContent = "";
  at("confirm").disabled = true;
  try {
    await plan.act();
    dialog.close();
    say(plan.done());
    await refresh();
    // Where a row has gone, or its button, the focus would be lost.
    if (document.activeElement === document.body) at("search").focus();
  } catch (error) {
    if (error instanceof Refused && error.code !== 401) {
      at("change-problem").textContent = refusal(error);
    } else {
      dialog.close();
      failed(error);
    }
  } finally {
    at("confirm").disabled = false;
  }
});
at("cancel").addEventListener("click", () => dialog.close());

const WORDS = { by: "Your name", why: "Why", for: "For", uses: "Uses", status: "Ask for", paths: "Paths" };
const refusal = (error) =>
  error.problems.length
    ? error.problems.map(({ key, message }) => `${WORDS[key] ?? key}: ${message}.`).join(" ")
    : error.message;

at("reset").addEventListener("click", () =>
  open({
    title: "Put everything back",
    about: "All changes of everybody end now, and rules that were added go.",
    verb: "Put back",
    act: () => ask("reset", { method: "POST", json: { by, why: at("change-why").value.trim() } }),
    done: () => "Everything is as it was declared.",
  }),
);

at("export").addEventListener("click", async () => {
  try {
    const response = await checked(await call("export", { accept: "*/*" }));
    const link = made("a", { download: "mocks.toml" });
    link.href = URL.createObjectURL(await response.blob());
    link.click();
    URL.revokeObjectURL(link.href);
    say("The rules as they are now: mocks.toml");
  } catch (error) {
    failed(error);
  }
});

// ---- a new rule, which the server judges while it is typed

const inputs = [...at("new").querySelectorAll("[data-key]")];
const touched = new Set();

// The rule that the form is about; what is no JSON is found out here, and all else by the server.
const draft = () => {
  const rule = {};
  const wrong = new Map();
  const json = (id, text) => {
    try {
      return JSON.parse(text);
    } catch (error) {
      wrong.set(id, `This is no JSON: ${error.message}`);
      return undefined;
    }
  };
  for (const name of ["match", "name", "delay"]) {
    const text = at(`new-${name}`).value.trim();
    if (text) rule[name] = text;
  }
  const code = at("new-status").value.trim();
  if (code) rule.status = /^[0-9]+$/.test(code) ? Number(code) : code;
  const tags = at("new-tags").value.split(",").map((tag) => tag.trim()).filter(Boolean);
  if (tags.length) rule.tags = tags;
  const body = at("new-json").value.trim();
  if (body) rule.json = json("new-json", body);
  const more = at("new-more").value.trim();
  if (more) {
    const others = json("new-more", more);
    if (others !== undefined && (others === null || typeof others !== "object" || Array.isArray(others))) {
      wrong.set("new-more", "An object is expected, such as {\"probability\": 0.25}.");
    } else {
      // Not Object.assign: `__proto__` is a key like any other.
      for (const [name, value] of Object.entries(others ?? {})) {
        Object.defineProperty(rule, name, { value, enumerable: true, configurable: true });
      }
    }
  }
  return { rule, wrong };
};

const asProblem = ({ key, value, message }) => ({ where: key, text: value ? `${value}: ${message}` : message });

const fieldOf = (where) => {
  const word = String(where).split(/[.[]/)[0];
  return inputs.find((input) => input.dataset.key === word) ?? null;
};

// Each problem below its field, and those that have none in the verdict. A field that nobody has come to
// yet is not blamed.
const judge = (problems, all) => {
  const byField = new Map();
  const rest = [];
  for (const problem of problems) {
    const input = problem.input ?? fieldOf(problem.where);
    if (!input) rest.push(problem.where ? `${problem.where}: ${problem.text}` : problem.text);
    else if (all || touched.has(input)) byField.set(input, [...(byField.get(input) ?? []), problem.text]);
  }
  for (const input of inputs) {
    const texts = byField.get(input) ?? [];
    const element = at(`${input.id}-problem`);
    const said = texts.join(" ");
    if (element.textContent !== said) element.textContent = said;
    input.setAttribute("aria-invalid", String(texts.length > 0));
    if (!input.dataset.described) input.dataset.described = input.getAttribute("aria-describedby") ?? " ";
    const described = `${input.dataset.described.trim()} ${texts.length ? element.id : ""}`.trim();
    if (described) input.setAttribute("aria-describedby", described);
    else input.removeAttribute("aria-describedby");
  }
  const verdict = at("verdict");
  const good = problems.length === 0;
  verdict.classList.toggle("good", good);
  verdict.classList.toggle("bad", rest.length > 0);
  const count = [...byField.values()].flat().length + rest.length;
  const text = good ? "The server accepts this rule." : count ? `${plural(count, "problem")}.` : "";
  if (verdict.dataset.said === text + rest.join("\n")) return;
  verdict.dataset.said = text + rest.join("\n");
  verdict.replaceChildren(text, ...(rest.length ? [made("ul", {}, ...rest.map((one) => made("li", {}, one)))] : []));
};

let judged = 0;

const validate = async (all = false) => {
  const turnOf = ++judged;
  const { rule, wrong } = draft();
  const problems = [...wrong].map(([id, text]) => ({ input: at(id), text }));
  try {
    const found = await ask("validate", { method: "POST", json: { rule } });
    if (turnOf !== judged) return false; // more was typed meanwhile
    problems.push(...found.problems.map(asProblem));
    judge(problems, all);
    return problems.length === 0;
  } catch (error) {
    failed(error);
    return false;
  }
};
const validateSoon = later(TYPED_MS, () => at("inside").hidden || validate());

at("new").addEventListener("input", (event) => {
  touched.add(event.target);
  validateSoon();
});

at("new").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!(await validate(true))) {
    inputs.find((input) => input.getAttribute("aria-invalid") === "true")?.focus();
    return;
  }
  const { rule } = draft();
  try {
    const added = await ask("rules", { method: "POST", json: { rule, ...terms("new") } });
    say(`${added.name} is on for ${at("new-for").value.trim()}.`);
    at("new").reset();
    touched.clear();
    at("verdict").replaceChildren();
    at("verdict").dataset.said = "";
    await refresh();
    location.hash = "#rules";
  } catch (error) {
    if (!(error instanceof Refused) || error.code === 401) return failed(error);
    const problems = error.problems.map(asProblem);
    judge(problems.length ? problems : [{ where: "", text: error.message }], true);
  }
});
