# Rails, as an API: an app that knows nothing of mockware. How to put mocks in front of it: ../../README.md.

require "rails"
require "action_controller/railtie"

class ExampleApplication < Rails::Application
  config.load_defaults 6.1
  config.root = File.expand_path("..", __dir__)
  config.api_only = true
  config.eager_load = true
  config.secret_key_base = "only for this example"
  config.logger = Logger.new($stdout)
  config.log_level = :warn
end
