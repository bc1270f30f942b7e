"use strict";
// What becomes of a request: the question to the control page, and the answer.

at("question").addEventListener("submit", async (event) => {
  event.preventDefault();
  const problem = at("question-problem");
  problem.textContent = "";
  at("request").removeAttribute("aria-invalid");
  const [first, ...others] = at("request").value.trim().split(/\s+/);
  const json = { path: others.length ? others.join(" ") : first };
  if (others.length) json.method = first;
  if (at("body").value) json.body = at("body").value;
  if (json.body && !json.method) json.method = "POST"; // as for curl
  const fields = new Map();
  for (const line of at("headers").value.split("\n").filter((line) => line.trim())) {
    const [name, ...value] = line.split(":");
    const key = name.trim().toLowerCase();
    const mark = key === "cookie" ? "; " : ", ";
    fields.set(key, [...(fields.has(key) ? [fields.get(key)] : []), value.join(":").trim()].join(mark));
  }
  if (fields.size) json.headers = Object.fromEntries(fields);
  try {
    showExplanation(await ask("explain", { method: "POST", json }));
  } catch (error) {
    if (!(error instanceof Refused) || error.code === 401) return failed(error);
    show(at("explanation"));
    problem.textContent = refusal(error);
    at("request").setAttribute("aria-invalid", "true");
    at("request").focus();
  }
});

const showExplanation = (found) => {
  const answers = found.answers.map((answer) => {
    const element = made("div", { class: "answer" }, made("p", {}, answer.sentence));
    if (answer.response) element.append(block(answer.response.raw, "response", "http"));
    return element;
  });
  const parts = [made("h3", {}, "What happens"), ...answers];
  if (found.notes.length) parts.push(made("ul", {}, ...found.notes.map((note) => made("li", {}, note))));
  if (found.misses.length) {
    const misses = found.misses.map((miss) => made("li", {}, made("b", {}, miss.label), made("p", {}, miss.reason)));
    parts.push(made("h3", {}, "Why not the others"), made("ul", { class: "misses" }, ...misses));
    if (found.left_out) parts.push(made("p", { class: "hint" }, `And ${plural(found.left_out, "rule")} more.`));
  }
  show(at("explanation"), ...parts);
};
