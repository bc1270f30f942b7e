# Metal: the other controllers parse a body that says it is JSON, and refuse one that is none.
class UploadsController < ActionController::Metal
  def create
    received = 0
    digest = Digest::SHA256.new
    while (piece = request.body.read(65_536))
      received += piece.bytesize
      digest.update(piece)
    end
    self.content_type = "application/json"
    self.response_body = { received: received, sha256: digest.hexdigest }.to_json
  end
end
