class StreamsController < ActionController::API
  include ActionController::Live

  def show
    response.headers["Content-Type"] = "text/plain; charset=utf-8"
    response.headers["Last-Modified"] = Time.now.httpdate # without it, Rack::ETag collects the body first
    5.times do |number|
      sleep 0.2 if number > 0
      response.stream.write "line #{number}\n"
    end
  ensure
    response.stream.close
  end
end
