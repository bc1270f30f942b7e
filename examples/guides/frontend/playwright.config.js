export default {
  testMatch: "*.spec.js",
  reporter: "list",
  use: {
    baseURL: "http://localhost:3000",
    serviceWorkers: "block", // what a service worker asks for passes no route
    launchOptions: { executablePath: process.env.CHROMIUM },
  },
};
