using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <content>A look at what is stored that takes nobody's place.</content>
internal sealed partial class JetStreamLog
{
    /// <returns>Null where there is no stream of the partition.</returns>
    /// <exception cref="ClusterException">The servers do not answer, or refuse.</exception>
    /// <exception cref="PartitionDamagedException">The stream's last message is none of this hub's.</exception>
    public static async Task<StoredLog?> FindStoredAsync(string clusterId, PartitionId id, JetStreamServers servers, StateBucket bucket)
    {
        var names = StreamNames.Of(clusterId, id);
        try
        {
            StreamInfo? stream = await servers.FindStreamAsync(names.Stream).ConfigureAwait(false);
            if (stream is null || names.FindIncarnation(stream.Config.Description) is not { } incarnation)
                return null;

            State state = await LoadStateAsync(bucket, incarnation).ConfigureAwait(false);
            using StreamMessage? last = stream.State.LastSeq > 0
                ? await servers.FindFromLeaderAsync(names.Stream, (long)stream.State.LastSeq, names.Subject + ".*").ConfigureAwait(false)
                : null;
            return new StoredLog(
                state.Settings.Value.IsEmpty ? new Dictionary<string, string>() : ReadSettings(state.Settings.Value),
                last?.NextOffset ?? 0,
                stream.State.Bytes);
        }
        catch (NatsJSApiException refusal)
        {
            throw new ClusterException(ErrorCode.StorageFailed, $"NATS refuses to show the stream '{names.Stream}': {refusal.Error.Description}");
        }
    }
}
