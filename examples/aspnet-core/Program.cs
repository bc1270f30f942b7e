// ASP.NET Core: an app that knows nothing of mockware. How to put mocks in front of it: ../README.md.

using System.Net.WebSockets;
using System.Security.Cryptography;

var builder = WebApplication.CreateBuilder(args);
builder.WebHost.UseUrls($"http://127.0.0.1:{Environment.GetEnvironmentVariable("PORT") ?? "5000"}");
var app = builder.Build();
app.UseWebSockets();

app.MapGet("/healthz", () => "ok");

app.MapGet("/hello", () => Results.Json(new { hello = "world" }));

app.MapPost("/reports", async (HttpRequest request) =>
{
    var (received, _) = await Read(request);
    return Results.Json(new { created = received }, statusCode: StatusCodes.Status201Created);
});

app.MapGet("/stream", async (HttpResponse response, CancellationToken cancelled) =>
{
    response.ContentType = "text/plain; charset=utf-8";
    for (var number = 0; number < 5; number++)
    {
        if (number > 0)
        {
            await Task.Delay(200, cancelled);
        }
        await response.WriteAsync($"line {number}\n", cancelled);
        await response.Body.FlushAsync(cancelled);
    }
});

app.MapPost("/upload", async (HttpRequest request) =>
{
    var (received, digest) = await Read(request);
    return Results.Json(new { received, sha256 = Convert.ToHexString(digest).ToLowerInvariant() });
});

app.Map("/ws", async (HttpContext context) =>
{
    if (!context.WebSockets.IsWebSocketRequest)
    {
        context.Response.StatusCode = StatusCodes.Status400BadRequest;
        return;
    }
    var protocol = context.WebSockets.WebSocketRequestedProtocols.Contains("echo") ? "echo" : null;
    using var socket = await context.WebSockets.AcceptWebSocketAsync(protocol);
    var piece = new byte[65536];
    while (true)
    {
        var part = await socket.ReceiveAsync(piece.AsMemory(), context.RequestAborted);
        if (part.MessageType == WebSocketMessageType.Close)
        {
            await socket.CloseOutputAsync(
                socket.CloseStatus ?? WebSocketCloseStatus.NormalClosure, null, context.RequestAborted);
            return;
        }
        if (part.MessageType == WebSocketMessageType.Binary)
        {
            await socket.CloseAsync(
                WebSocketCloseStatus.InvalidMessageType, "text only", context.RequestAborted);
            return;
        }
        await socket.SendAsync(
            piece.AsMemory(0, part.Count), part.MessageType, part.EndOfMessage, context.RequestAborted);
    }
});

app.Run();

static async Task<(long Received, byte[] Digest)> Read(HttpRequest request)
{
    using var digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    var piece = new byte[65536];
    long received = 0;
    int count;
    while ((count = await request.Body.ReadAsync(piece)) > 0)
    {
        received += count;
        digest.AppendData(piece, 0, count);
    }
    return (received, digest.GetHashAndReset());
}
