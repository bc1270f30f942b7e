Rails.application.routes.draw do
  get "/healthz", to: "reports#healthz"
  get "/hello", to: "reports#hello"
  post "/reports", to: "reports#create"
  get "/stream", to: "streams#show"
  post "/upload", to: "uploads#create"
end
