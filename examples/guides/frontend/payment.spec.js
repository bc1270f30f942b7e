import { expect, test } from "@playwright/test";

const api = "http://localhost:8000";

async function asking(context, headers) {
  await context.route(`${api}/**`, (route) =>
    route.continue({ headers: { ...route.request().headers(), "X-Mock-Key": process.env.MOCK_TOKEN, ...headers } }),
  );
}

async function opened(page) {
  const answered = page.waitForResponse(`${api}/payments/7`);
  await page.goto("/");
  return (await answered).headers()["x-mock-rule"];
}

test("a payment is shown", async ({ page }) => {
  expect(await opened(page)).toBeUndefined();
  await expect(page.getByRole("status")).toHaveText("paid");
});

test("an outage is shown, by a status", async ({ context, page }) => {
  await asking(context, { "X-Mock-Status": "503" });
  expect(await opened(page)).toBe("trigger");
  await expect(page.getByRole("alert")).toHaveText("Payments are down. We try again later.");
});

test("an outage is shown, by a rule", async ({ context, page }) => {
  await asking(context, { "X-Mock-Name": "payments-down" });
  expect(await opened(page)).toBe("payments-down");
  await expect(page.getByRole("alert")).toHaveText("Payments are down. We try again in 30 s.");
});

test("an outage is shown, by a cookie", async ({ context, page }) => {
  await asking(context, {});
  await context.addCookies([{ name: "mock", value: "503", url: api }]);
  expect(await opened(page)).toBe("trigger");
  await expect(page.getByRole("alert")).toContainText("Payments are down.");
});
