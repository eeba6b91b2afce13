using Grpc.Core;

namespace EdgeStream.Mirror.Tests;

/// <summary>The mirror service of a hub that says what cannot be.</summary>
internal sealed class LyingHub(LyingHub.Lies lies) : V1.Mirror.MirrorBase
{
    /// <param name="ResumeOffset">Where it says that a topic goes on.</param>
    /// <param name="AcknowledgedOffset">What it acknowledges for each chunk.</param>
    /// <param name="ExtraPieceBytes">How many more bytes it says a piece had.</param>
    public sealed record Lies(long ResumeOffset, long AcknowledgedOffset, int ExtraPieceBytes);

    public override async Task Uplink(
        IAsyncStreamReader<V1.EdgeMessage> requestStream, IServerStreamWriter<V1.HubMessage> responseStream, ServerCallContext context)
    {
        while (await requestStream.MoveNext(context.CancellationToken))
        {
            V1.EdgeMessage message = requestStream.Current;
            V1.HubMessage? answer = message.MessageCase switch
            {
                V1.EdgeMessage.MessageOneofCase.Hello => new V1.HubMessage { Welcome = new V1.Welcome { WindowBytes = 1_000_000 } },
                V1.EdgeMessage.MessageOneofCase.Open => new V1.HubMessage
                {
                    Opened = new V1.TopicOpened { Topic = message.Open.Topic, ResumeOffset = lies.ResumeOffset, LastBatchOffset = -1 },
                },
                V1.EdgeMessage.MessageOneofCase.Chunk => new V1.HubMessage
                {
                    Ack = new V1.MirrorAck
                    {
                        Topic = message.Chunk.Topic,
                        DurableEnd = lies.AcknowledgedOffset,
                        PieceBytes = message.Chunk.Data.Length + lies.ExtraPieceBytes,
                        WindowBytes = 1_000_000,
                    },
                },
                _ => null,
            };
            if (answer is not null)
                await responseStream.WriteAsync(answer);
        }
    }
}
