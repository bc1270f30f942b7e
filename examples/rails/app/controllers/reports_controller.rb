class ReportsController < ActionController::API
  def healthz
    render plain: "ok"
  end

  def hello
    render json: { hello: "world" }
  end

  def create
    render json: { created: request.raw_post.bytesize }, status: :created
  end
end
